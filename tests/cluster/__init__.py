"""Make a real kind cluster, with or without a container registry. See docs/testing.md."""
