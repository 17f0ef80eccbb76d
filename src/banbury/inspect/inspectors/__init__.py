"""One module per inspector or small family, each with a constant ``INSPECTORS``. Adding one touches no other file."""
