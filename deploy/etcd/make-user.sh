#!/bin/sh
# make-user.sh PASSWORD-FILE [PREFIX [NAME]]: a role that may read and write the keys of dpipes and nothing else, and a user who has it.
#
# Takes etcdctl 3.4 or later. Which cluster, and who says so, stands in etcdctl's own variables:
#
#     ETCDCTL_ENDPOINTS=https://etcd-1:2379 ETCDCTL_CACERT=/etc/dpipes/etcd-ca.pem ETCDCTL_USER=root:PASSWORD \
#         deploy/etcd/make-user.sh /etc/dpipes/etcd.password
#
# A password is made up where the file does not exist. Run again, it sets the user's password to what the file says. The same file then
# goes to every node. Rights count only where authentication is on: see docs/deploy.md.
set -eu

file=${1:?'usage: make-user.sh PASSWORD-FILE [PREFIX [NAME]]'}
prefix=${2:-/dpipes/v1/}
name=${3:-dpipes}
export ETCDCTL_API=3

# Without the slash at its end the role of /team-a could write the keys of /team-ab.
case $prefix in */) ;; *) prefix=$prefix/ ;; esac

# Asked first, so that nothing is made where the cluster does not answer, and its failure is not taken for a missing role.
roles=$(etcdctl role list)
users=$(etcdctl user list)

if [ ! -e "$file" ]; then
    umask 077
    head -c 24 /dev/urandom | base64 >"$file"
    echo "a new password is in $file"
fi

printf '%s\n' "$roles" | grep -qxF -- "$name" || etcdctl role add "$name"
etcdctl role grant-permission "$name" --prefix=true readwrite "$prefix"

# The password goes through standard input: every user of the machine can read command lines.
if printf '%s\n' "$users" | grep -qxF -- "$name"; then
    etcdctl user passwd "$name" --interactive=false <"$file"
else
    etcdctl user add "$name" --interactive=false <"$file"
fi
etcdctl user grant-role "$name" "$name"
