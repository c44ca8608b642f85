#!/usr/bin/env python3
"""Compares what the cpu and the gpu backend declare of each operation of ops/backend.hpp: same arguments, same names.

    signatures.py ROOT          prints each difference, exits 1 if there is one
    signatures.py --self-test   shows that a difference is seen

What a span's type is deduced from is spelled differently, and an operation to which E is nothing takes the cpu's Workers;
apart from that, twins are twins.
"""
import pathlib
import re
import sys


def operations(contract):
    """The names that the concept in backend.hpp calls with a context first."""
    body = contract[contract.index("concept Backend"):]
    names = []
    for name in re.findall(r"\b([a-z_]+)(?:<\w+>)?\(ctx\b", body):
        if name not in names:
            names.append(name)
    return names


def closing(text, at):
    """The place after the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i + 1
    raise ValueError("a bracket is not closed")


def split(arguments):
    """At the commas outside of brackets."""
    parts, depth, part = [], 0, ""
    for c in arguments:
        depth += c in "<("
        depth -= c in ">)"
        if c == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += c
    return parts + [part]


def normal(argument):
    """Type and name of an argument, with what may differ taken away. An argument without a name has the name ''."""
    text = " ".join(argument.split())
    text = re.sub(r"std::type_identity_t<(.*)>(?= ?\w*$)", r"\1", text)
    text = re.sub(r"\b(?:Basic)?Context<E>|\bWorkers\b", "Context", text)
    text = re.sub(r"\bE\b", "float", text)
    match = re.fullmatch(r"(.*[>&*]|int|double|Dropout|TokenIds|std::int64_t|Deferred<int>|FirstPosition)\s*(\w*)", text)
    return (match.group(1), match.group(2)) if match else (text, "")


def signatures(folder, names):
    """{operation: list of (type, name)} of the definitions in a backend's folder. Overloads below the contract are left out:
    they take pointers, where the contract takes tensors."""
    found = {}
    for path in sorted([*folder.glob("*.hpp"), *folder.glob("*.cuh")]):
        text = re.sub(r"//[^\n]*", "", path.read_text())
        for match in re.finditer(r"(?:void|Arena<std::byte>|DeviceMemory) ([a-z_]+)\((?=(?:(?:Basic)?Context(?:<E>)?|Workers)&)", text):
            name = match.group(1)
            end = closing(text, match.end() - 1)
            if name not in names or not text[end:].lstrip().startswith("{"):
                continue
            arguments = [normal(a) for a in split(text[match.end():end - 1])]
            if name.startswith("attention") and not any("Qkv" in kind for kind, _ in arguments):
                continue
            found[name] = arguments
    return found


def differences(cpu, gpu, names):
    for name in names:
        if name not in cpu or name not in gpu:
            missing = [where for where, has in (("cpu/", cpu), ("gpu/", gpu)) if name not in has]
            yield f"{name}: not found in {' and '.join(missing)}"
            continue
        a, b = cpu[name], gpu[name]
        if len(a) != len(b):
            yield f"{name}: {len(a)} arguments in cpu/, {len(b)} in gpu/"
            continue
        for i, ((kind_a, name_a), (kind_b, name_b)) in enumerate(zip(a, b)):
            if kind_a != kind_b:
                yield f"{name}, argument {i}: {kind_a} in cpu/, {kind_b} in gpu/"
            elif name_a and name_b and name_a != name_b:
                yield f"{name}, argument {i}: called {name_a} in cpu/, {name_b} in gpu/"


def check(root):
    include = root / "include" / "tinygpt"
    names = operations((include / "ops" / "backend.hpp").read_text())
    assert len(names) >= 24, names
    return list(differences(signatures(include / "cpu", names), signatures(include / "gpu", names), names))


def self_test():
    ours = {"norm": [("Context&", "ctx"), ("Out<float, Embd<C>>", "y")]}
    assert not list(differences(ours, ours, ["norm"]))
    for theirs in ({}, {"norm": ours["norm"][:1]}, {"norm": [ours["norm"][0], ("In<float, Embd<C>>", "y")]},
                   {"norm": [ours["norm"][0], ("Out<float, Embd<C>>", "x")]}):
        assert len(list(differences(ours, theirs, ["norm"]))) == 1, theirs
    assert normal(" std::type_identity_t<std::span<const E>>  from") == ("std::span<const float>", "from")
    assert normal("Out<E, Batch<dyn>, Time<dyn>> mean") == ("Out<float, Batch<dyn>, Time<dyn>>", "mean")
    print("each difference is seen")


def main():
    if sys.argv[1] == "--self-test":
        return self_test()
    found = check(pathlib.Path(sys.argv[1]))
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
