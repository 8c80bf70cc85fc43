# Make a machine of its own from a golden image:
#
#   packer build -var source=golden.qcow2 -var output=web-01.qcow2 clone.pkr.hcl
#
# The builder is the plainest one, a copy. With another one (qemu, for instance) the post-processor
# stays as it is; only `output` has to be where that builder leaves its disk.

variable "source" {
  type = string
}

variable "output" {
  type = string
}

# Options for `unclone sanitize`, for example "--profile golden".
variable "options" {
  type    = string
  default = ""
}

source "file" "clone" {
  source = var.source
  target = var.output
}

build {
  sources = ["source.file.clone"]

  # The names reach the shell as variables, so they may hold spaces and quotes. Any status other
  # than 0 fails the build.
  post-processor "shell-local" {
    environment_vars = ["IMAGE=${var.output}", "OPTIONS=${var.options}"]
    inline = [
      "unclone sanitize --json $OPTIONS -- \"$IMAGE\" > \"$IMAGE.unclone.json\"",
    ]
  }
}
