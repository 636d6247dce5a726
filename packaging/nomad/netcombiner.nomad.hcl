# One home, nc57, on a Nomad cluster:
#   nomad var put nomad/jobs/nc57 key=@nc57.key
#   nomad job run netcombiner.nomad.hcl
# The clients need the host volume "netcombiner" for totals and quotas, and
# allow_caps = ["net_admin"] in the plugin "docker".
job "nc57" {
  group "tunnel" {
    count = 1 # never two with one key

    network {
      mode = "bridge"
      port "tunnel" {
        static = 4782
        to     = 4782
      }
    }

    volume "state" {
      type            = "host"
      source          = "netcombiner"
      access_mode     = "single-node-writer"
      attachment_mode = "file-system"
    }

    update {
      max_parallel = 1
      auto_revert  = true
    }

    task "netcombiner" {
      driver = "docker"

      config {
        image           = "registry.example.org/netcombiner:latest"
        args            = ["-f", "--config", "/secrets/nc57.conf", "nc57"]
        cap_drop        = ["all"]
        cap_add         = ["net_admin"]
        readonly_rootfs = true
        ports           = ["tunnel"]
        sysctl          = { "net.ipv4.ip_forward" = "1" }
        devices         = [{ host_path = "/dev/net/tun", container_path = "/dev/net/tun" }]
        tmpfs           = ["/var/run/netcombiner"]
      }

      volume_mount {
        volume      = "state"
        destination = "/var/lib/netcombiner"
      }

      template {
        destination = "secrets/nc57.conf"
        perms       = "0400"
        data        = <<-EOT
          [Interface]
          Role        = remote
          Key         = {{ with nomadVar "nomad/jobs/nc57" }}{{ .key }}{{ end }}
          Address     = 172.19.152.116/31
          Routing     = nat
          MemoryLimit = 16MB

          [Listen]
          Transport = udp
          Address   = 0.0.0.0:4782
        EOT
      }

      resources {
        cpu        = 50
        memory     = 32
        memory_max = 64
      }
    }
  }
}
