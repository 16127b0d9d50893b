# dpipesd on every client of a Nomad cluster, found through the Consul agent of each machine.
#
#     nomad job plan deploy/nomad/dpipesd.nomad.hcl
#     nomad job run deploy/nomad/dpipesd.nomad.hcl
#
# Before that, on every client: the package of dpipes, which brings /usr/bin/dpipesd and the user `dpipes`; a Consul agent on 127.0.0.1:8500;
# and the driver raw_exec, which is off unless the client's configuration has
#
#     plugin "raw_exec" { config { enabled = true } }
#
# Not isolated by Nomad on purpose: apps are to find what is installed on the machine, and dpipesd runs them as another user.
#
# Written for Nomad 1.3 and later. Its syntax was parsed with python-hcl2 8.1; Nomad itself was not at hand, so neither `job validate` nor a
# run of it was. The configuration in it and the arguments are run by the tests of dpipes, with a real Consul.

job "dpipesd" {
  datacenters = ["dc1"]

  # One on each client.
  type = "system"

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  # One machine after the other, so that pipelines find somebody all the time.
  update {
    max_parallel = 1
    stagger      = "45s"
  }

  group "dpipesd" {
    network {
      port "dpipes" {
        static = 3747
      }
    }

    # It runs until it is told to leave, so an end is a failure; a broken configuration (78) does not get better by trying.
    restart {
      attempts = 5
      interval = "5m"
      delay    = "5s"
      mode     = "delay"
    }

    task "dpipesd" {
      driver = "raw_exec"

      config {
        command = "/usr/bin/dpipesd"
        args    = ["--foreground", "--config", "${NOMAD_TASK_DIR}/dpipesd.yaml"]
      }

      env {
        DPIPES_NODE_NAME = "${node.unique.name}"
        DPIPES_ADVERTISE = "${NOMAD_ADDR_dpipes}"
      }

      # SIGTERM drains: running pipes may end, new ones go elsewhere. The client's max_kill_timeout is 30s unless it says otherwise and cuts
      # this short without a word, so drain-timeout and kill-grace together stay below it.
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      # No `service` block: dpipesd registers itself and each app, with a heartbeat of its own, and two registrations would be two truths.
      # Its health is what Consul says of the service `dpipesd`.
      template {
        destination = "local/dpipesd.yaml"

        # SIGHUP reads it again; pipes go on.
        change_mode   = "signal"
        change_signal = "SIGHUP"

        data = <<EOF_DPIPESD
version: 1
listen: ["0.0.0.0:3747", "unix:/run/dpipes/dpipesd.sock"]
registry: ["consul:"]
access: members
apps:
  cat: {}
  head: {}
  sort: { args: { deny: ["--compress-program*", "-T*", "-o*"] } }
  uniq: {}
run: { run-as: dpipes, cwd: /, kill-grace: 3s }
drain-timeout: 20s
EOF_DPIPESD
      }

      # For placing; raw_exec limits nothing. Limits of apps are in dpipesd's configuration.
      resources {
        cpu    = 200
        memory = 256
      }
    }
  }
}
