"""The post-processor for Packer: the protocol of its plugins, and what to do with an artifact."""
