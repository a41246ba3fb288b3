"""JPEG to planes of luma and chroma and back, by libjpeg-turbo's accurate integer transforms: equal bits everywhere."""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_ubyte, c_ulong, c_void_p

LIBRARY = "libturbojpeg.so.0"
MAX_SIDE = 8192
#: Larger pictures would not fit in the memory a task has, however they are coded.
MAX_FRAME_PIXELS = 4096 * 2176
#: What the analysis works on at most: larger pictures are halved while they are decoded.
MAX_PIXELS = 720 * 576
QUALITY = 88
_ACCURATE_DCT, _STOP_ON_WARNING, _LIMIT_SCANS = 4096, 8192, 32768
_FLAGS = _ACCURATE_DCT | _STOP_ON_WARNING | _LIMIT_SCANS
# turbojpeg.h: TJSAMP_444, 422, 420, GRAY, 440, 411 -> chroma is coarser by 2^x, 2^y
_SHIFTS = {0: (0, 0), 1: (1, 0), 2: (1, 1), 3: (0, 0), 4: (0, 1), 5: (2, 0)}
_GRAY, _444 = 3, 0


class JpegError(ValueError):
    """A picture that is no JPEG, broken, or of a kind that is not supported."""


class Picture:
    """A decoded picture: three planes with their strides; chroma is coarser by `x_shift` and `y_shift` bits."""

    def __init__(self, width, height, sampling):
        self.width, self.height, self.sampling = width, height, sampling
        self.x_shift, self.y_shift = _SHIFTS[sampling]
        block_x, block_y = 1 << self.x_shift, 1 << self.y_shift
        full = (-(-width // block_x) * block_x, -(-height // block_y) * block_y)
        coarse = (full[0] >> self.x_shift, full[1] >> self.y_shift)
        self.strides = (full[0], coarse[0], coarse[0])
        self.planes = [(c_ubyte * (w * h))() for w, h in (full, coarse, coarse)]


class Codec:
    """One decoder and one encoder."""

    def __init__(self):
        self._library = library = ctypes.CDLL(LIBRARY)
        for name in ("tjInitDecompress", "tjInitCompress"):
            getattr(library, name).restype = c_void_p
        library.tjDecompressHeader3.argtypes = (c_void_p, c_char_p, c_ulong, *[POINTER(c_int)] * 4)
        library.tjDecompressToYUVPlanes.argtypes = (
            c_void_p, c_char_p, c_ulong, POINTER(c_void_p), c_int, POINTER(c_int), c_int, c_int,
        )  # fmt: skip
        library.tjCompressFromYUVPlanes.argtypes = (
            c_void_p, POINTER(c_void_p), c_int, POINTER(c_int), c_int, c_int, POINTER(POINTER(c_ubyte)),
            POINTER(c_ulong), c_int, c_int,
        )  # fmt: skip
        library.tjDestroy.argtypes = (c_void_p,)
        library.tjGetErrorStr2.argtypes = (c_void_p,)
        library.tjGetErrorStr2.restype = c_char_p
        library.tjFree.argtypes = (POINTER(c_ubyte),)
        self._decoder, self._encoder = library.tjInitDecompress(), library.tjInitCompress()

    def size(self, content):
        """Width, height and sampling of a JPEG.

        Raises:
            JpegError: it is none, or too large.
        """
        if not content:
            raise JpegError("it is empty, too large, or cannot be read")
        width, height, sampling, space = c_int(), c_int(), c_int(), c_int()
        fields = (byref(width), byref(height), byref(sampling), byref(space))
        if self._library.tjDecompressHeader3(self._decoder, content, len(content), *fields):
            raise self._broken()
        if sampling.value not in _SHIFTS or space.value not in (1, 2):  # YCbCr and gray only
            raise JpegError("its colours are stored in a way that is not supported")
        if not 0 < width.value <= MAX_SIDE or not 0 < height.value <= MAX_SIDE:
            raise JpegError(f"{width.value}x{height.value} pixels are more than {MAX_SIDE}x{MAX_SIDE}")
        if width.value * height.value > MAX_FRAME_PIXELS:
            raise JpegError(
                f"{width.value}x{height.value} pixels are more than {MAX_FRAME_PIXELS // 1_000_000} million"
            )
        return width.value, height.value, sampling.value

    def decode(self, content, shrink=1):
        """Decode to planes, `shrink` (1, 2, 4, 8) times smaller.

        Raises:
            JpegError: the picture is broken.
        """
        width, height, sampling = self.size(content)
        picture = Picture(-(-width // shrink), -(-height // shrink), sampling)
        planes, strides = _pointers(picture)
        if self._library.tjDecompressToYUVPlanes(
            self._decoder, content, len(content), planes, picture.width, strides, picture.height, _FLAGS
        ):
            raise self._broken()
        if sampling == _GRAY:
            for plane in picture.planes[1:]:
                ctypes.memset(plane, 128, len(plane))
            picture.sampling = _444
        return picture

    def encode(self, picture):
        """Encode planes."""
        planes, strides = _pointers(picture)
        buffer, size = POINTER(c_ubyte)(), c_ulong()
        if self._library.tjCompressFromYUVPlanes(
            self._encoder, planes, picture.width, strides, picture.height, picture.sampling, byref(buffer), byref(size),
            QUALITY, _FLAGS,
        ):  # fmt: skip
            raise JpegError(self._said(self._encoder))
        try:
            return ctypes.string_at(buffer, size.value)
        finally:
            self._library.tjFree(buffer)

    def _broken(self):
        """The decoder's error. It is replaced: after some errors it would refuse every further picture."""
        error = JpegError(self._said(self._decoder))
        self._library.tjDestroy(self._decoder)
        self._decoder = self._library.tjInitDecompress()
        return error

    def _said(self, handle):
        return self._library.tjGetErrorStr2(handle).decode("ascii", "replace")


def shrink_for(width, height):
    """How many times smaller a picture is analysed."""
    shrink = 1
    while shrink < 8 and (width // shrink) * (height // shrink) > MAX_PIXELS:
        shrink *= 2
    return shrink


def _pointers(picture):
    addresses = [ctypes.addressof(plane) for plane in picture.planes]
    return (c_void_p * 3)(*addresses), (c_int * 3)(*picture.strides)
