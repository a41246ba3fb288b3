"""The detection kernel (kernel/motion.c) by ctypes."""

import ctypes
from ctypes import POINTER, byref, c_int32, c_uint8, c_void_p

LIBRARY = "/opt/dapp/libmotion.so"
MAX_BLOBS = 1024


class _Frame(ctypes.Structure):
    _fields_ = (
        ("y", c_void_p),
        ("cb", c_void_p),
        ("cr", c_void_p),
        ("y_stride", c_int32),
        ("c_stride", c_int32),
        ("x_shift", c_int32),
        ("y_shift", c_int32),
    )


class _Settings(ctypes.Structure):
    _fields_ = tuple((name, c_int32) for name in ("luma", "chroma", "noise", "neighbour", "absorb", "shadow"))


class _Blob(ctypes.Structure):
    _fields_ = tuple((name, c_int32) for name in ("x0", "y0", "x1", "y1", "area"))


def _library(path):
    library = ctypes.CDLL(path)
    library.motion_new.restype = c_void_p
    library.motion_new.argtypes = (c_int32, c_int32, POINTER(_Settings))
    library.motion_free.argtypes = (c_void_p,)
    library.motion_region.argtypes = (c_void_p, c_void_p)
    library.motion_begin.argtypes = (c_void_p, c_int32)
    library.motion_begin.restype = c_int32
    library.motion_sample.argtypes = (c_void_p, POINTER(_Frame))
    library.motion_learn.argtypes = (c_void_p,)
    library.motion_restart.argtypes = (c_void_p,)
    library.motion_step.argtypes = (c_void_p, POINTER(_Frame), c_void_p)
    library.motion_step.restype = c_int32
    library.motion_blobs.argtypes = (c_void_p, c_void_p, c_int32, POINTER(_Blob), c_int32)
    library.motion_pack.argtypes = (c_void_p, c_void_p, c_void_p)
    library.motion_blobs.restype = c_int32
    return library


class Detector:
    """Finds the moving pixels of frames of one size.

    Args:
        width, height: of the frames, in pixels.
        settings: luma, chroma, noise, neighbour, absorb, shadow; see kernel/motion.h.
        library: path of the compiled kernel.
    """

    def __init__(self, width, height, settings, library=LIBRARY):
        self.width, self.height = width, height
        self._library = _library(library)
        self._model = self._library.motion_new(width, height, byref(_Settings(**settings)))
        if not self._model:
            raise MemoryError(f"no memory for frames of {width}x{height}")
        self.mask = (c_uint8 * (width * height))()
        self._packed = (c_uint8 * (-(-width // 8) * height))()
        self._blobs = (_Blob * MAX_BLOBS)()

    def region(self, content):
        """Look only at the pixels that are 1: width x height bytes."""
        self._library.motion_region(self._model, content)

    def packed(self):
        """The mask, eight pixels a byte, rows padded to whole bytes, the left pixel in the highest bit (as in PBM)."""
        self._library.motion_pack(self._model, self.mask, self._packed)
        return bytes(self._packed)

    def learn(self, pictures, count):
        """Take the median of at most `count` pictures as background."""
        if not self._library.motion_begin(self._model, count):
            raise MemoryError("no memory for the background's samples")
        for picture in pictures:
            self._library.motion_sample(self._model, byref(_frame(picture)))
        self._library.motion_learn(self._model)

    def step(self, picture):
        """Take the next picture; returns how many pixels move, and sets `mask`."""
        return self._library.motion_step(self._model, byref(_frame(picture)), self.mask)

    def restart(self):
        """Take the last picture as background."""
        self._library.motion_restart(self._model)

    def blobs(self, min_area):
        """Connected moving groups of at least `min_area` pixels: (x0, y0, x1, y1, area)."""
        found = self._library.motion_blobs(self._model, self.mask, min_area, self._blobs, MAX_BLOBS)
        return [(b.x0, b.y0, b.x1, b.y1, b.area) for b in self._blobs[:found]]

    def close(self):
        """Free the model."""
        self._library.motion_free(self._model)
        self._model = None


def _frame(picture):
    addresses = [ctypes.addressof(plane) for plane in picture.planes]
    return _Frame(*addresses, picture.strides[0], picture.strides[1], picture.x_shift, picture.y_shift)
