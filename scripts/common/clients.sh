# Shared by the scripts that run clients of others against a cluster; sourced, from the project's folder, under `set -e`.
# It leaves: installed (a folder for what is installed), tests, bin (the program), work (a folder that is kept after a
# failure), and functions. The clusters that were started end with the script.

fail() {
  printf 'error: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf '\nhint: %s\n' "$2" >&2
  exit 2
}

installed=$(realpath -m "${CARGO_TARGET_DIR:-target}")/compat
tests=$PWD/tests/compat
mkdir -p "$installed"

environment() { # environment NAME REQUIREMENTS: a virtual environment with exactly these, made anew when they change
  local home=$installed/$1 wanted=$tests/$2
  cmp --silent "$wanted" "$home/installed" && return
  printf 'installing %s\n' "$2"
  rm -rf -- "$home"
  python3 -m venv "$home" || fail "a virtual environment can't be made in $home" "on Debian, install python3-venv"
  "$home/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$wanted" ||
    fail "the packages of $2 can't be installed"
  cp "$wanted" "$home/installed"
}

program() { # program: sets bin, to the program named by CIRCLET_BIN or to a debug build, and clears the environment for it
  bin=${CIRCLET_BIN:-}
  if [ -z "$bin" ]; then
    cargo build --workspace --quiet --bin circlet
    bin=$(realpath -m "${CARGO_TARGET_DIR:-target}")/debug/circlet
  fi
  [ -x "$bin" ] || fail "$bin is no program"
  # The nodes shall have the settings that are given here, and the clients ask them and no proxy.
  unset "${!CIRCLET_@}" HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
  export no_proxy='*' NO_PROXY='*'
}

work=$(mktemp -d)
clusters=()
finish() {
  local code=$? pid
  for pid in "${clusters[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${clusters[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ $code -eq 0 ]; then
    rm -rf -- "$work"
  else
    printf 'hint: the nodes'"'"' homes, with their logs, are kept in %s\n' "$work" >&2
  fi
}
trap finish EXIT

free_ports() { # free_ports COUNT: the first of so many ports in a row that nobody listens on, below those that are given out
  python3 - "$1" <<'END'
import random, socket, sys

count = int(sys.argv[1])


def free(port):
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


for _ in range(1000):
    first = random.randrange(20000, 32000 - count)
    if all(free(port) for port in range(first, first + count)):
        print(first)
        break
else:
    sys.exit("no free ports")
END
}

start() { # start ALGORITHM: a cluster that signs so
  "$bin" dev --nodes 3 --algorithm "$1" --home "$work/$1" --base-port "$(free_ports 6)" \
    --ready-file "$work/$1.json" >/dev/null 2>"$work/$1.log" &
  clusters+=($!)
  local deadline=$((SECONDS + 180))
  until [ -e "$work/$1.json" ]; do
    if ! kill -0 "${clusters[-1]}" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
      cat "$work/$1.log" >&2
      fail "the $1 cluster did not start"
    fi
    sleep 0.1
  done
}
