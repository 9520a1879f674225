"""The bundled probes: a YAML file each, and, where rows are not items, the Python that makes items of them."""
