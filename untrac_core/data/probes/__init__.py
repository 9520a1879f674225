"""Probes: named benchmarks that load as prompt sets; a YAML file each, with a module where rows are no items yet."""
