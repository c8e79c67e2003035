#!/usr/bin/env bash
# run.sh FOLDER [arguments of pairs.py]
# Gradus against PyTorch, JAX, Burn, Candle and ONNX Runtime: sets up what is missing, builds, compares.
# FOLDER holds the four uncompressed MNIST files (train-images-idx3-ubyte, ...).
# VENV names the virtual environment (benches/peers/venv), PYTHON its python (python3).
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,5s/^# //p' "$0"; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
data=$(cd "$1" && pwd)
shift
venv=${VENV:-$here/venv}
if [ ! -x "$venv/bin/python" ]; then
  "${PYTHON:-python3}" -m venv "$venv"
fi
"$venv/bin/python" -c 'import numpy, torch, jax, optax, onnx, onnxruntime' 2>/dev/null \
  || "$venv/bin/pip" install --quiet numpy torch==2.13.0 jax optax onnx onnxruntime
# Where the binaries go is said here, whatever CARGO_TARGET_DIR says.
(cd "$root" && CARGO_TARGET_DIR="$root/target" cargo build --release --locked --bin gradus)
(cd "$here/rust" && CARGO_TARGET_DIR="$here/rust/target" RUSTFLAGS="-C target-cpu=native" cargo build --release --locked)
exec "$venv/bin/python" "$here/pairs.py" --data "$data" "$@"
