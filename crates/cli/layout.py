#!/usr/bin/env python3
"""Writes layout.ld: the functions that trainings go through, to lie side by side in the program.

Linux counts as resident what lies within 64 KiB of anything that was touched, so 0.9 MB of code that
runs, spread over 15 MB, cost 7 MB of memory; so ordered it costs 4. (A copy made by `cp` gains little: since Linux 6.18 what
is mapped are the page cache's units, and large writes make large units.) Without the file, or with one that is old, the program
is the same, only larger in memory. Needs valgrind, and a release build:

    cargo build --release && crates/cli/layout.py target/release/gradus
"""
import collections, os, re, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CSV = os.path.join(HERE, "../data/tests/fixtures/breast_cancer.csv")
BENCH = ["bench", "--json", "--threads", "1", "--window", "0.1", "--windows", "1", "--warmup", "0.1", "--workload"]
# What is taken is used by two of these at least.
RUNS = [BENCH + ["xor"], BENCH + ["mlp_tabular"], ["train", CSV, "--epochs", "1"], ["train", "digits", "--epochs", "1"]]
# Functions of one name (a generic one has many) are taken together, with at most this many unused bytes for each that is used.
UNUSED = 12_000


def family(name):
    """The name without what a change of the code or another compiler makes different."""
    name = re.sub(r"\.llvm\.\d+", ".llvm.*", re.sub(r"17h[0-9a-f]{16}E", "17h*E", name))
    return re.sub(r"Cs[0-9A-Za-z]+_(?=\d)", "Cs*_", name)


def used(program, words):
    """The functions of the program that run."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "calls")
        more = ["--out", os.path.join(folder, "run")] if words[0] == "train" else []
        tool = ["valgrind", "--tool=callgrind", "--demangle=no", "--compress-strings=no", "--callgrind-out-file=" + out]
        # valgrind knows no AVX-512.
        subprocess.run(tool + [program, *words, *more], check=True, env=dict(os.environ, GRADUS_ISA="avx2"),
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found, inside = set(), False
        for line in open(out):
            if line.startswith("ob="):
                inside = line.strip() == "ob=" + program
            elif line.startswith("fn=") and inside:
                found.add(line[3:].strip().split("'")[0])
        return found


def levels(name):
    """The name, and that of its twin for AVX-512."""
    twin = re.sub(r"2v3(?=17h)", "2v4", name.replace("4avx2", "6avx512").replace("9fill_avx2", "11fill_avx512"))
    return [name, twin]


def prefixes(name):
    """The modules that a name lies in, outermost first, and the name."""
    if not name.startswith("_ZN"):
        return [name]
    found, at = [], 3
    while part := re.match(r"\d+", name[at:]):
        at += part.end() + int(part.group())
        if name[at:].startswith("17h"):
            break
        found.append(name[:at] + "*")
    # A whole crate says too little.
    return found[1:] + [name]


def main():
    program = os.path.realpath(sys.argv[1])
    bytes_of, size_of = collections.Counter(), {}
    for line in subprocess.run(["nm", "-S", program], check=True, capture_output=True, text=True).stdout.splitlines():
        part = line.split()
        if len(part) == 4 and part[2] in "tTwW":
            size_of[part[3]] = int(part[1], 16)
            bytes_of[family(part[3])] += int(part[1], 16)
    runs, members = collections.defaultdict(set), collections.defaultdict(set)
    for number, words in enumerate(RUNS):
        for name in used(program, words):
            runs[family(name)].add(number)
            members[family(name)].add(name)
    often = {}
    for name, of in runs.items():
        unused = bytes_of[name] - sum(size_of.get(member, 0) for member in members[name])
        if len(of) > 1 and unused <= UNUSED * len(members[name]):
            often |= {twin: tuple(sorted(of)) for twin in levels(name) if twin in bytes_of}
    # A module of which four fifths are used is named as a whole.
    whole, hot, groups = collections.Counter(), collections.Counter(), collections.defaultdict(collections.Counter)
    for name, size in bytes_of.items():
        for prefix in prefixes(name):
            whole[prefix] += size
            if name in often:
                hot[prefix] += size
                groups[prefix][often[name]] += size
    wanted = {next(p for p in prefixes(name) if 5 * hot[p] >= 4 * whole[p]) for name in often}
    # First what all runs use, and then what the same runs use.
    group = {name: groups[name].most_common(1)[0][0] for name in wanted}
    wanted = sorted(wanted, key=lambda name: (-len(group[name]), group[name], name))
    with open(os.path.join(HERE, "layout.ld"), "w") as file:
        file.write("/* The functions that trainings go through, side by side. Written by layout.py, which says why. */\n")
        file.write("SECTIONS\n{\n  .text :\n  {\n")
        # The compiler puts what it takes to be rarely called into sections of the second kind.
        file.writelines(f"    *(.text.{name} .text.unlikely.{name})\n" for name in wanted)
        file.write("    *(.text .text.*)\n  }\n}\nINSERT BEFORE .init;\n")
    of = collections.Counter()
    for name in wanted:
        of[group[name]] += whole[name]
    print(f"{len(wanted)} names, bytes by runs: {dict(of)}")


main()
