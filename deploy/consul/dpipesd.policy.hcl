# What a node may do in Consul, and no more: register itself and its apps, and see the others. Make a token of it with
#
#     consul acl policy create -name dpipesd -rules @deploy/consul/dpipesd.policy.hcl
#     consul acl token create -description "dpipesd of node-a" -policy-name dpipesd
#
# Whoever has the token can announce a node, and with `access: members` who is announced is let in: keep it as you would keep a key.

# The node itself.
service "dpipesd" {
  policy = "write"
}

# Its apps. Where your policies give everybody `service_prefix ""`, this adds nothing, and everybody can announce nodes.
service_prefix "dp." {
  policy = "write"
}

# To see the others. Without it everything looks empty, and Consul does not say why.
node_prefix "" {
  policy = "read"
}

# To ask the agent what it is.
agent_prefix "" {
  policy = "read"
}
