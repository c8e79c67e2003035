#!/usr/bin/env python3
"""Gradus against PyTorch (eager and compiled), JAX, Burn, Candle and ONNX Runtime, interleaved.

Each round runs Gradus, then every peer, one process each, so that a machine whose speed drifts
slows all of them alike. Printed for each: the median rate, its spread (max - min over median), the
peak of resident memory, the time from the start of the process to the end of its first step less
one steady step, and the median of the ratios round by round; then a table of the ratios to the
fastest peer of each round. All times are of the CPU for one thread, of the clock for more. With two
threads or more Gradus also runs on one, and the gain is printed beside that of multiplications in
registers (`gradus bench --peaks`), measured every third round.

`run.sh` sets everything up and calls this. By hand:

    python3 -m venv VENV && VENV/bin/pip install numpy torch==2.13.0 jax optax onnx onnxruntime
    cargo build --release
    (cd benches/peers/rust && RUSTFLAGS="-C target-cpu=native" cargo build --release)
    VENV/bin/python benches/peers/pairs.py --data FOLDER-WITH-UNCOMPRESSED-MNIST
"""
import argparse, json, math, os, random, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORKLOADS = ["mlp_mnist", "autoencoder", "cnn_mnist", "resnet20", "lstm_char", "gpt_mini", "mlp_tabular",
             "xor", "mlp_tabular_loop", "xor_loop", "infer_mlp_mnist", "infer_cnn_mnist",
             "infer_mlp_mnist_captured", "infer_cnn_mnist_captured"]
# Names, and the words that a program needs to be that peer.
PEERS = {
    "torch": ["torch_bench.py"],
    "torch-compile": ["torch_bench.py", "--mode", "compile"],
    "jax": ["jax_bench.py"],
    "jax-scan": ["jax_bench.py", "--scan", "100"],
    "onnxruntime": ["ort_bench.py"],
    "burn": ["peer-burn"],
    "candle": ["peer-candle"],
}
RUST = ["burn", "candle"]
# Columns of a workload's name.
WIDE = 28


def takes_part(name, workload):
    """100 steps in a dispatch are the peer of captured loops, ONNX Runtime only predicts."""
    if name == "jax-scan":
        return workload.endswith("_loop")
    if workload.endswith("_loop") or (":" in workload and name in RUST):
        return name.startswith("gradus")
    return name != "onnxruntime" or workload.startswith("infer_")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True, help="folder with the four uncompressed MNIST IDX files")
    p.add_argument("--workloads", default=",".join(WORKLOADS), help="also of any size, as gradus bench takes them")
    p.add_argument("--shapes", type=int, default=0, metavar="N",
                   help="instead: N random shapes of each kind of net, which nobody tuned for (not with Burn and Candle)")
    p.add_argument("--seed", type=int, default=0, help="of --shapes")
    p.add_argument("--peers", default=",".join(PEERS))
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--window", type=float, default=1.0)
    p.add_argument("--warmup", type=float, default=0.5)
    p.add_argument("--gradus", default=os.path.join(ROOT, "target", "release", "gradus"))
    p.add_argument("--rust", default=os.path.join(HERE, "rust", "target", "release"), help="folder of the peers in Rust")
    p.add_argument("--pin", default=None, help="cores for taskset; default 0 for one thread")
    p.add_argument("--limit", type=float, default=600, help="seconds after which a peer is given up for a workload")
    p.add_argument("--svg", help="also draw the ratios as a picture")
    p.add_argument("--lines", help="also append every measured line to this file, as JSON")
    a = p.parse_args()
    for name in a.peers.split(","):
        if name not in PEERS:
            sys.exit(f"there is no peer {name}; there are {', '.join(PEERS)}")
    programs = {"gradus": a.threads}
    if a.threads > 1:
        programs["gradus-1"] = 1
    programs |= {name: a.threads for name in a.peers.split(",")}
    print(f"{a.rounds} rounds, {a.threads} thread(s), windows of {a.window} s", flush=True)
    bars, table = [], []
    for workload in random_shapes(a.shapes, a.seed) if a.shapes else a.workloads.split(","):
        rows = {name: [] for name in programs if takes_part(name, workload)}
        machine = []
        for number in range(a.rounds):
            for name in list(rows):
                row = run(a, name, workload, programs[name])
                if row is None:
                    del rows[name]
                    continue
                rows[name].append(row)
                if a.lines:
                    with open(a.lines, "a") as f:
                        f.write(json.dumps(dict(row, peer=name, workload=workload)) + "\n")
            if a.threads > 1 and number % 3 == 0:
                machine.append(machine_scaling(a))
        table.append(report(workload, rows, machine))
        bars.append((workload, {n: statistics.median(r["rate"] for r in v) for n, v in rows.items()}))
    print(f"\n{'':{WIDE}} {'to the fastest':>14} {'of the rounds':>16} {'memory to Burn':>14} {'start, ms':>9}  scaling (machine)")
    for line in table:
        print(line, flush=True)
    if a.svg:
        with open(a.svg, "w") as f:
            f.write(draw(bars, a))


def random_shapes(count, seed):
    """Nets of random sizes, most of them odd, whose steps take roughly 0.1 to 50 ms."""
    r = random.Random(seed)
    size = lambda least, most: round(math.exp(r.uniform(math.log(least), math.log(most))))
    found = []
    for _ in range(count):
        hidden = [size(20, 1000) for _ in range(r.randint(1, 3))]
        found.append(f"mlp:{'-'.join(map(str, [size(10, 1500), *hidden, size(2, 100)]))}@{size(4, 500)}")
        found.append(f"cnn:{size(1, 32)}-{size(12, 60)}-{r.choice([3, 3, 5])}-{size(8, 80)}-{size(8, 120)}-10@{size(4, 64)}")
        found.append(f"lstm:{size(30, 300)}-{size(16, 200)}-{size(30, 400)}-{size(10, 100)}@{size(4, 64)}")
        heads = r.randint(2, 8)
        found.append(f"gpt:{size(50, 500)}-{heads * size(12, 48)}-{r.randint(1, 4)}-{heads}-{size(20, 200)}@{size(2, 12)}")
    return found


def shown(rates):
    """Gradus, PyTorch and the fastest peer: more would be a wall of bars."""
    best = max((n for n in rates if n != "gradus"), key=rates.get)
    return {n: x for n, x in rates.items() if n in ("gradus", "torch", best)}


def draw(bars, a):
    """Speed relative to the fastest peer of each workload, as an SVG."""
    names = {"gradus": "Gradus", "torch": "PyTorch eager", "torch-compile": "PyTorch compiled", "jax": "JAX jit",
             "jax-scan": "JAX, 100 steps in a call", "onnxruntime": "ONNX Runtime", "burn": "Burn", "candle": "Candle"}
    colours = {"gradus": "#c2410c", "torch": "#64748b", "torch-compile": "#7c8aa0", "jax": "#94a3b8",
               "jax-scan": "#94a3b8", "onnxruntime": "#b6c2d2", "burn": "#a8a29e", "candle": "#d6d3d1"}
    bars = [(w, {n: x for n, x in v.items() if n in names}) for w, v in bars]
    bars = [(w, shown(v)) for w, v in bars if len(v) > 1]
    top, left, width = 64, 150 if all(len(w) < 20 for w, _ in bars) else 215, 470
    reach = max(v["gradus"] / max(x for n, x in v.items() if n != "gradus") for _, v in bars)
    unit = width / max(reach, 1.0)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + 610}" height="{top + sum(14 + 20 * len(v) for _, v in bars) + 16}" '
           'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>',
           '<text x="16" y="26" font-size="16" font-weight="bold" fill="#0f172a">Training steps a second, '
           f'{a.threads} thread, relative to the fastest peer</text>',
           '<text x="16" y="46" fill="#475569">infer: calls a second at batch 1; PyTorch and the fastest peer; '
           f'median of {a.rounds} interleaved rounds</text>']
    for workload, values in bars:
        best = max(x for n, x in values.items() if n != "gradus")
        out.append(f'<text x="16" y="{top + 34}" fill="#0f172a">{workload}</text>')
        for k, (name, value) in enumerate(values.items()):
            y, w = top + 20 * k + 4, value / best * unit
            out.append(f'<rect x="{left}" y="{y}" width="{max(w, 1):.1f}" height="16" fill="{colours[name]}"/>')
            number = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
            label = f"{names[name]}  {number}" + (f"  ({value / best:.2f}x)" if name == "gradus" else "")
            inside = w > 230
            x, colour = (left + 8, "white") if inside else (left + w + 6, "#0f172a")
            out.append(f'<text x="{x:.1f}" y="{y + 13}" fill="{colour}">{label}</text>')
        top += 14 + 20 * len(values)
    return "\n".join(out + ["</svg>"]) + "\n"


def pinned(a, threads):
    pin = a.pin if a.pin is not None else ("0" if threads == 1 else None)
    return [] if pin is None else ["taskset", "-c", pin]


def run(a, name, workload, threads):
    """The line of one process, with its rate; None if it failed, which it says."""
    if name.startswith("gradus"):
        command = [a.gradus, "bench", "--json", "--data", a.data]
    elif name in RUST:
        command = [os.path.join(a.rust, PEERS[name][0])]
    else:
        command = [sys.executable, os.path.join(HERE, PEERS[name][0])] + PEERS[name][1:]
    which = workload if name.startswith("gradus") else workload.removesuffix("_loop").removesuffix("_captured")
    command = pinned(a, threads) + command + ["--workload", which, "--threads", str(threads), "--window", str(a.window),
                                              "--windows", "1", "--warmup", str(a.warmup)]
    env = dict(os.environ, PEER_DATA=a.data, OMP_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads))
    if threads == 1:
        env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    try:
        done = subprocess.run(command, env=dict(env, BENCH_T0=repr(time.time())), capture_output=True, text=True, timeout=a.limit)
        why = done.stderr[-2000:]
    except subprocess.TimeoutExpired:
        done, why = None, f"took longer than {a.limit} s"
    lines = [l for l in done.stdout.splitlines() if l.startswith("{")] if done else []
    if not lines or done.returncode:
        print(f"{' '.join(command)} failed:\n{why}", file=sys.stderr, flush=True)
        if name.startswith("gradus"):
            sys.exit(1)
        return None
    row = json.loads(lines[-1])
    many = row.get("steps_per_dispatch", 1)
    if workload.startswith("infer"):
        row["rate"] = 1e6 / row["p10_us"]
        steady = row["median_us"] / 1e6
    else:
        # CPU time for one thread, which a busy machine disturbs least.
        rate = row["steps_per_cpu_s"] if threads == 1 else row["steps_per_s"]
        row["rate"], steady = many * rate, 1 / rate
    first = row.get("first_step_cpu_s") if threads == 1 else None
    row["start_s"] = (row["first_step_s"] if first is None else first) - steady
    return row


def machine_scaling(a):
    """How much faster multiplications in registers are on all threads than on one."""
    done = subprocess.run([a.gradus, "bench", "--peaks", "--json", "--threads", str(a.threads)], capture_output=True, text=True)
    found = [json.loads(l) for l in done.stdout.splitlines() if '"fma_scaling"' in l]
    return found[0]["value"] if found else math.nan


def report(workload, rows, machine):
    """Prints a line for each program; the line of the last table."""
    median = lambda name, key: statistics.median(r.get(key, math.nan) for r in rows[name])
    ours = [r["rate"] for r in rows["gradus"]]
    for name, lines in rows.items():
        rates = [r["rate"] for r in lines]
        m = statistics.median(rates)
        spread = (max(rates) - min(rates)) / m
        text = (f"{workload:{WIDE}} {name:14} {m:12.1f} /s  spread {spread:4.0%}  {median(name, 'peak_rss_mb'):7.1f} MB  "
                f"start {median(name, 'start_s'):6.3f} s")
        if name != "gradus":
            ratio = statistics.median(x / y for x, y in zip(ours, rates))
            text += f"   gradus is {ratio:.2f} times as fast"
        if "final_loss" in lines[-1]:
            # Whoever computes something else is fast for a bad reason.
            text += f"   loss {lines[-1]['first_loss']:.4f} to {lines[-1]['final_loss']:.4f}"
        print(text, flush=True)
    peers = [name for name in rows if not name.startswith("gradus")]
    line = f"{workload:{WIDE}}"
    if peers:
        best = [max(rows[n][i]["rate"] for n in peers) for i in range(len(ours))]
        ratios = sorted(x / y for x, y in zip(ours, best))
        fastest = max(peers, key=lambda n: statistics.median(r["rate"] for r in rows[n]))
        line += f" {statistics.median(ratios):14.2f} {ratios[0]:7.2f} to {ratios[-1]:5.2f}"
    else:
        fastest = "nobody"
        line += f" {'-':>14} {'-':>16}"
    memory = median("gradus", "peak_rss_mb") / median("burn", "peak_rss_mb") if "burn" in rows else math.nan
    line += f" {memory:14.2f} {median('gradus', 'start_s') * 1e3:9.0f}"
    if machine:
        gain = statistics.median(x / r["rate"] for x, r in zip(ours, rows["gradus-1"]))
        line += f"  {gain:.2f} ({statistics.median(machine):.2f})"
    return line + f"  fastest peer: {fastest}"


main()
