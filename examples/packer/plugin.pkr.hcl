# Make a machine of its own from a golden image, with the post-processor of unclone:
#
#   packer build -var source=golden.qcow2 -var output=web-01.qcow2 plugin.pkr.hcl

variable "source" {
  type = string
}

variable "output" {
  type = string
}

source "file" "clone" {
  source = var.source
  target = var.output
}

build {
  sources = ["source.file.clone"]

  post-processor "unclone" {
    profile = "identity"
  }
}
