"""Where the work runs: workspace, content store, database, engine, sandbox, progress. It knows nothing of firmware."""
