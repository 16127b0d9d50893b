# What a client may do that finds the nodes itself: `dpipes --registry consul: ...` on a machine without a daemon. It sees nodes and apps and
# announces nothing. The nodes still have to let its address in.

service "dpipesd" {
  policy = "read"
}

service_prefix "dp." {
  policy = "read"
}

node_prefix "" {
  policy = "read"
}

agent_prefix "" {
  policy = "read"
}
