# SPDX-License-Identifier: MIT
"""What the sources promise about themselves: layers, lists, docstrings, stub."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from conftest import ROOT, run_code

import tpool

pytestmark = pytest.mark.timeout(300)
PACKAGE = ROOT / "tpool"
CSRC = PACKAGE / "csrc"
C_FILES = sorted(CSRC.rglob("*.[ch]"))


def c_name(path):
    return str(path.relative_to(CSRC))


def code_of(path):
    """Return the text of a C file without comments and strings."""
    text = path.read_text(encoding="utf-8")
    return re.sub(
        r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"',
        lambda match: re.sub(r"[^\n]", " ", match[0]),
        text,
        flags=re.DOTALL,
    )


def includes(path):
    pattern = r'^\s*#\s*include\s+(["<])([^">]+)[">]'
    return re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)


def test_headers_do_not_include_each_other_in_a_circle():
    graph = {
        str(path.relative_to(CSRC)): [
            name for kind, name in includes(path) if kind == '"'
        ]
        for path in CSRC.rglob("*.h")
    }
    done = set()

    def visit(name, above):
        assert name not in above, f"{[*above, name]}"
        if name not in done:
            for other in graph[name]:
                visit(other, [*above, name])
            done.add(name)

    for name in graph:
        visit(name, [])


@pytest.mark.parametrize("path", C_FILES, ids=c_name)
def test_c_file_keeps_the_rules_of_the_house(path):
    text, code = path.read_text(encoding="utf-8"), code_of(path)
    assert text.startswith("/* SPDX-License-Identifier: MIT\n")
    assert "atomic_thread_fence" not in code
    assert "atomic_signal_fence" not in code
    for operation in re.findall(r"\batomic_(\w+)\s*\(", code):
        assert operation == "init" or operation.endswith("_explicit"), operation
    assert not re.search(r"\b__sync_|\b__atomic_|(?<!__asm__ )\bvolatile\b", code)


@pytest.mark.parametrize("path", C_FILES, ids=c_name)
def test_c_file_has_no_global_that_changes(path):
    """Module state only: several interpreters load the module."""
    for line in code_of(path).splitlines():
        if re.match(r"static\s[^()]*(=.*|;)$", line):
            allowed = (
                r"\bconst\b|PyMethodDef|PyType_S|PyGetSetDef|PyMemberDef|ModuleDef"
            )
            assert re.search(allowed, line), line


def configuration():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_packages_of_the_build_are_the_folders():
    packages = {str(p.parent.relative_to(ROOT)) for p in PACKAGE.rglob("*.py")}
    names = sorted(name.replace("/", ".") for name in packages)
    assert configuration()["tool"]["setuptools"]["packages"] == names


def test_init_re_exports_all_and_nothing_else():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    *body, names, lazy = tree.body
    assert isinstance(names, ast.FunctionDef)
    assert names.name == "__dir__"
    assert isinstance(lazy, ast.If)  # what needs asyncio, when first used
    assert [function.name for function in lazy.body] == ["__getattr__"]
    for node in body:
        kinds = ast.ImportFrom | ast.Assign | ast.Expr | ast.If
        assert isinstance(node, kinds), node
    names = [
        alias.name
        for statement in body
        for n in ast.walk(statement)
        if isinstance(n, ast.ImportFrom)
        for alias in n.names
        if n.module not in ("__future__", "typing")
    ]
    assert sorted(names) == sorted(tpool.__all__)
    assert len(set(tpool.__all__)) == len(tpool.__all__)
    for name in tpool.__all__:
        assert hasattr(tpool, name)


def modules():
    for info in pkgutil.walk_packages(tpool.__path__, "tpool."):
        if info.name not in ("tpool.__main__", "tpool._core"):
            yield importlib.import_module(info.name)


def listed(module):
    return getattr(module, "__all__", [])  # none: it has nothing of its own


def test_each_module_lists_what_it_has_and_its_public_names_are_listed():
    for module in modules():
        assert list(listed(module)) == sorted(listed(module), key=sort_key), module
        for name in listed(module):
            assert hasattr(module, name), f"{module.__name__}.{name}"
        for name, thing in vars(module).items():
            own = getattr(thing, "__module__", None) == module.__name__
            made = inspect.isclass(thing) or inspect.isfunction(thing)
            if own and made and not name.startswith("_"):
                assert name in listed(module), f"{module.__name__}.{name}"


def sort_key(name):
    """Constants, then classes, then the rest, as the linter has it."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def test_public_names_of_the_design_are_all_there():
    wanted = {
        tpool.AioContext: """poll set_poll_params poll_max_ns poll_grow poll_shrink
            poll_ns poll_disable_cnt notify notify_me notified acquire release
            set_fd_handler set_fd_poll set_event_notifier new_bh call_soon new_timer
            fileno prepare check dispatch wrap_future add_ring watch stats close __enter__
            __exit__""",
        tpool.BottomHalf: "schedule schedule_idle cancel delete",
        tpool.Timer: "mod_ns mod_anticipate_ns cancel pending",
        tpool.EventNotifier: "set test_and_clear fileno close",
        tpool.ThreadPool: """submit map submit_many set_threads stats shutdown
            __enter__ __exit__""",
        tpool.Request: """result exception done cancel cancelled running
            add_done_callback""",
        tpool.AioFiles: "pread pwrite fsync fdatasync backend close closed",
        tpool.SimpleQueue: "put put_nowait get get_nowait empty qsize",
        tpool.Ring: """create attach send try_send recv recv_view try_recv send_async recv_async
            close __enter__ __exit__""",
        tpool.IOThread: "stop join __enter__ __exit__",
        tpool.trace: "enable disable enabled read lost",
    }
    for owner, names in wanted.items():
        assert [name for name in names.split() if not hasattr(owner, name)] == []


def public_things():
    for module in modules():
        yield module.__name__, module
        for name in listed(module):
            yield f"{module.__name__}.{name}", getattr(module, name)
    for name in tpool.__all__:
        owner = getattr(tpool, name)
        if inspect.isclass(owner):
            yield name, owner
            for member in dir(owner):
                inherited = not any(
                    member in vars(base)
                    for base in owner.__mro__
                    if base.__module__.startswith("tpool")
                )
                if not member.startswith("_") and not inherited:
                    yield f"{name}.{member}", getattr(owner, member)


@pytest.mark.parametrize(("name", "thing"), sorted(public_things(), key=lambda p: p[0]))
def test_public_thing_has_a_docstring(name, thing):
    if isinstance(thing, str | int | float | tuple):
        return
    if type(thing).__name__ == "member_descriptor":
        return  # a field of a dataclass: the class says what it is
    if isinstance(thing, BaseException.__class__) and issubclass(thing, BaseException):
        assert thing.__doc__
        return
    assert inspect.getdoc(thing), name


def test_text_signatures_of_c_methods_can_be_read():
    for owner in (
        tpool.AioContext,
        tpool.ThreadPool,
        tpool.Request,
        tpool.Timer,
        tpool.BottomHalf,
        tpool.EventNotifier,
        tpool.SimpleQueue,
        tpool.Ring,
        tpool.AioFiles,
    ):
        for name in dir(owner):
            member = inspect.getattr_static(owner, name)
            if type(member).__name__ == "method_descriptor" and name[0] != "_":
                assert inspect.signature(getattr(owner, name)), name


def test_import_loads_no_heavy_module():
    code = (
        "import sys, tpool; "
        "print([m for m in ('asyncio', 'psutil', 'concurrent.futures', 'socket', "
        "'subprocess', 'logging', 'argparse', 'json', 'hdrh', 'rich', 'matplotlib', "
        "'numpy') if m in sys.modules])"
    )
    said = run_code(code)
    assert said.stdout.strip() == "[]"


def test_import_starts_no_thread_and_opens_no_fd():
    code = (
        "import os, threading; before = len(os.listdir('/proc/self/fd')); "
        "import tpool; "
        "print(len(os.listdir('/proc/self/fd')) - before, threading.active_count())"
    )
    said = run_code(code)
    assert said.stdout.split() == ["0", "1"]


def test_free_threaded_build_stays_free_of_the_gil():
    if not hasattr(sys, "_is_gil_enabled"):
        pytest.skip("there is always a GIL before 3.13")
    code = (
        "import sys; before = sys._is_gil_enabled(); import tpool; "
        "print(before == sys._is_gil_enabled())"
    )
    said = run_code(code, options=("-W", "error"))
    assert said.stdout.strip() == "True"


def mypy(module, *arguments):
    """Run a module of mypy on the tree; return its status and what it said."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("no mypy")
    said = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MYPYPATH": str(ROOT), "NO_COLOR": "1"},
    )
    return said.returncode, said.stdout + said.stderr


def test_types_tell_a_misspelt_name_and_know_what_a_pool_s_context_is(tmp_path):
    (tmp_path / "good.py").write_text(
        "import tpool\n"
        "pool = tpool.ThreadPool(tpool.AioContext())\n"
        "with pool.ctx as ctx, tpool.CpuMeter(pool.ctx):\n"
        "    print(ctx.stats().turns, tpool.ThreadPool(ctx))\n"
        "tpool.run(tpool.to_thread(int))\n"
    )
    (tmp_path / "bad.py").write_text("import tpool\ntpool.ThredPool\n")
    status, said = mypy("mypy", "--strict", str(tmp_path / "good.py"))
    assert status == 0, said
    _, said = mypy("mypy", "--strict", str(tmp_path / "bad.py"))
    assert "ThredPool" in said, said


def test_what_is_loaded_late_is_listed():
    code = "import tpool; print(set(tpool.__all__) - set(dir(tpool)))"
    said = run_code(code)
    assert said.stdout == "set()\n"


def test_a_subclass_may_call_the_init_of_its_base():
    class Context(tpool.AioContext):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    class Pool(tpool.ThreadPool):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    with Context(1000, poll_grow=3) as ctx, Pool(ctx, max_threads=2) as pool:
        assert pool.submit(int).result() == 0
        assert ctx.poll_grow == 3


def test_stub_says_what_the_c_module_has():
    status, said = mypy("mypy.stubtest", "tpool")
    assert status == 0, said


def test_ci_runs_the_readme_s_test_command_which_sets_itself_up():
    if not (ROOT / ".ci" / "run").exists():
        pytest.skip("no checkout")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.search(r"```sh\n(.*?)```", readme, re.DOTALL)[1].splitlines()
    install = "python -m pip install -e '.[dev]' && "
    assert [command.startswith(install) for command in commands] == [True, True]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"({commands[1]})" in ci


def test_wheel_holds_the_module_the_stub_and_no_c_sources(tmp_path):
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("no setuptools")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(PACKAGE, source / "tpool", ignore=ignored)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "-q",
        "-w",
        str(tmp_path),
        str(source),
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    (wheel,) = tmp_path.glob("aio_tpool-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    files = {path for path in PACKAGE.rglob("*.py*") if path.suffix != ".pyc"}
    expected = {"tpool/py.typed", *(str(path.relative_to(ROOT)) for path in files)}
    found = {name for name in names if name.startswith("tpool/")}
    (module,) = found - expected
    assert module.endswith(".so")
    assert found - {module} == expected
