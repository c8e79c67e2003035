#!/usr/bin/env python3
"""Gradus against PyTorch, JAX, Burn and Candle, interleaved.

Each round runs Gradus, then every peer, one process each, so that a machine whose speed drifts
slows all of them alike. Printed: medians, spread (max - min over median) and, per peer, the median
of the ratios round by round.

`run.sh` sets everything up and calls this. By hand:

    python3 -m venv VENV && VENV/bin/pip install numpy torch==2.13.0 jax optax
    cargo build --release
    (cd benches/peers/rust && RUSTFLAGS="-C target-cpu=native" cargo build --release)
    VENV/bin/python benches/peers/pairs.py --data FOLDER-WITH-UNCOMPRESSED-MNIST
"""
import argparse, json, os, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORKLOADS = ["xor", "mlp_tabular", "mlp_mnist", "autoencoder", "infer_mlp_mnist"]
RUST = ["burn", "candle"]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True, help="folder with the four uncompressed MNIST IDX files")
    p.add_argument("--workloads", default=",".join(WORKLOADS))
    p.add_argument("--peers", default="torch,jax,burn,candle")
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--window", type=float, default=1.0)
    p.add_argument("--warmup", type=float, default=0.5)
    p.add_argument("--gradus", default=os.path.join(ROOT, "target", "release", "gradus"))
    p.add_argument("--rust", default=os.path.join(HERE, "rust", "target", "release"), help="folder of the peers in Rust")
    p.add_argument("--pin", default=None, help="cores for taskset; default 0 for one thread")
    p.add_argument("--svg", help="also draw the ratios as a picture")
    a = p.parse_args()
    pin = a.pin if a.pin is not None else ("0" if a.threads == 1 else None)
    common = ["--threads", str(a.threads), "--window", str(a.window), "--windows", "1", "--warmup", str(a.warmup)]
    programs = {"gradus": [a.gradus, "bench", "--json", "--data", a.data] + common}
    for peer in a.peers.split(","):
        if peer in RUST:
            programs[peer] = [os.path.join(a.rust, f"peer-{peer}")] + common
        else:
            programs[peer] = [sys.executable, os.path.join(HERE, f"{peer}_bench.py")] + common
    env = dict(os.environ, PEER_DATA=a.data, OMP_NUM_THREADS=str(a.threads), RAYON_NUM_THREADS=str(a.threads))
    if a.threads == 1:
        env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    print(f"{a.rounds} rounds, {a.threads} thread(s), windows of {a.window} s", flush=True)
    bars = []
    for workload in a.workloads.split(","):
        figures = {name: [] for name in programs}
        first = {name: [] for name in programs}
        losses = {name: [] for name in programs}
        for _ in range(a.rounds):
            for name, command in programs.items():
                row = run(command + ["--workload", workload], pin, env)
                figures[name].append(rate(row, workload))
                first[name].append(row["first_step_s"])
                if "final_loss" in row:
                    losses[name].append((row.get("first_loss"), row["final_loss"]))
        report(workload, figures, first, losses)
        bars.append((workload, {n: statistics.median(v) for n, v in figures.items()}))
    if a.svg:
        with open(a.svg, "w") as f:
            f.write(draw(bars, a))


def draw(bars, a):
    """Speed relative to the fastest peer of each workload, as an SVG."""
    names = {"gradus": "Gradus", "torch": "PyTorch eager", "jax": "JAX jit", "burn": "Burn", "candle": "Candle"}
    colours = {"gradus": "#c2410c", "torch": "#64748b", "jax": "#94a3b8", "burn": "#a8a29e", "candle": "#d6d3d1"}
    top, row, left, width = 64, 14 + 20 * len(bars[0][1]), 150, 470
    reach = max(v["gradus"] / max(x for n, x in v.items() if n != "gradus") for _, v in bars)
    unit = width / max(reach, 1.0)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{top + row * len(bars) + 16}" '
           'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>',
           '<text x="16" y="26" font-size="16" font-weight="bold" fill="#0f172a">Training steps a second, '
           f'{a.threads} thread, relative to the fastest peer</text>',
           '<text x="16" y="46" fill="#475569">infer: calls a second at batch 1; '
           f'median of {a.rounds} interleaved rounds</text>']
    for i, (workload, values) in enumerate(bars):
        best = max(x for n, x in values.items() if n != "gradus")
        out.append(f'<text x="16" y="{top + row * i + 34}" fill="#0f172a">{workload}</text>')
        for k, (name, value) in enumerate(values.items()):
            y, w = top + row * i + 20 * k + 4, value / best * unit
            out.append(f'<rect x="{left}" y="{y}" width="{max(w, 1):.1f}" height="16" fill="{colours[name]}"/>')
            label = f"{names[name]}  {value:,.0f}" + (f"  ({value / best:.2f}x)" if name == "gradus" else "")
            inside = w > 230
            x, colour = (left + 8, "white") if inside else (left + w + 6, "#0f172a")
            out.append(f'<text x="{x:.1f}" y="{y + 13}" fill="{colour}">{label}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def run(command, pin, env):
    if pin is not None:
        command = ["taskset", "-c", pin] + command
    done = subprocess.run(command, env=dict(env, BENCH_T0=repr(time.time())), capture_output=True, text=True)
    lines = [l for l in done.stdout.splitlines() if l.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(lines[-1])


def rate(row, workload):
    """Steps (or calls) a second; CPU time for one thread, which a busy machine disturbs least."""
    if workload.startswith("infer"):
        return 1e6 / row["p10_us"]
    return row["steps_per_cpu_s"] if row["threads"] == 1 else row["steps_per_s"]


def report(workload, figures, first, losses):
    ours = figures["gradus"]
    for name, values in figures.items():
        m = statistics.median(values)
        spread = (max(values) - min(values)) / m
        text = f"{workload:16} {name:8} {m:12.1f} /s  spread {spread:4.0%}  first step {statistics.median(first[name]):6.3f} s"
        if name != "gradus":
            ratio = statistics.median(x / y for x, y in zip(ours, values))
            text += f"   gradus is {ratio:.2f} times as fast"
        if losses[name]:
            # Whoever computes something else is fast for a bad reason.
            start, end = losses[name][-1]
            text += f"   loss {'?' if start is None else format(start, '.4f')} to {end:.4f}"
        print(text, flush=True)


main()
