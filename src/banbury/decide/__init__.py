"""Is its use in this network a manageable risk: inventories, policies, exposure, options."""
