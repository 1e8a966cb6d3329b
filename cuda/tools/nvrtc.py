"""NVRTC through ctypes: CUDA C++ to PTX, without a GPU and without the toolkit's headers."""

import ctypes
from pathlib import Path


class CompileError(Exception):
    """What the compiler said."""


class Nvrtc:
    """The library in `folder`, which also holds its built-in declarations."""

    def __init__(self, folder: Path):
        self._library = ctypes.CDLL(str(folder / "libnvrtc.so.12"))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def version(self) -> str:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "nvrtcVersion")
        return f"{major.value}.{minor.value}"

    def ptx(self, source: Path, options: list[str]) -> bytes:
        """The PTX of `source`; a `CompileError` holds the compiler's log when it fails or warns."""
        program = ctypes.c_void_p()
        text = source.read_bytes()
        created = self._library.nvrtcCreateProgram(
            ctypes.byref(program), text, source.name.encode(), 0, None, None
        )
        self._check(created, "nvrtcCreateProgram")
        try:
            words = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            status = self._library.nvrtcCompileProgram(program, len(options), words)
            log = self._read(program, "ProgramLog").decode(errors="replace").strip()
            if status != 0 or log:
                raise CompileError(f"{source}: {log or self._library.nvrtcGetErrorString(status).decode()}")
            return self._read(program, "PTX")
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)), what)
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._library, f"nvrtcGet{what}")(program, buffer), what)
        return buffer.raw[: size.value].rstrip(b"\0")

    def _check(self, status: int, what: str) -> None:
        if status != 0:
            raise CompileError(f"{what}: {self._library.nvrtcGetErrorString(status).decode()}")
