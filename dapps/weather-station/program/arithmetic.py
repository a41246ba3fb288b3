"""Elementary functions that give the same bits on every architecture.

A C library may round `exp` or `sin` differently in the last place on another processor or in another version, and
workers that shall agree on a result must not depend on that. Here only what IEEE 754 rounds correctly is used: + - * /
and the square root; and, exactly, operations on integers and exponents. Errors are below 4 units in the last place
(tested). Sums elsewhere are `math.fsum`, which is exact, because `sum` differs between versions of Python.
"""

import math

PI = 3.141592653589793
_LN2 = 0.6931471805599453
# ln 2 and pi/2 in two parts, the first short enough that its product with a small integer is exact.
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_HALF_PI_HIGH, _HALF_PI_LOW = 1.57079632673412561417e00, 6.07710050650619224932e-11
_EXP = [1.0 / math.factorial(n) for n in range(13, -1, -1)]
_LOG = [2.0 / (2 * n + 1) for n in range(10, 0, -1)]
_SIN = [(1 - n % 2 * 2) / math.factorial(2 * n + 1) for n in range(8, 0, -1)]
_COS = [(1 - n % 2 * 2) / math.factorial(2 * n) for n in range(8, 0, -1)]
_ATAN = [(1 - n % 2 * 2) / (2 * n + 1) for n in range(12, 0, -1)]


def exp(x):
    """e to the power of x; 0 below -700, OverflowError above 700."""
    if x < -700.0:
        return 0.0
    if x > 700.0:
        raise OverflowError("exp of a number above 700")
    k = math.floor(x / _LN2 + 0.5)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    total = 0.0
    for coefficient in _EXP:
        total = total * r + coefficient
    return math.ldexp(total, k)


def log(x):
    """Natural logarithm of a positive number; ValueError otherwise."""
    if not x > 0.0:
        raise ValueError("log of a number that is not positive")
    mantissa, exponent = math.frexp(x)
    if mantissa < 0.7071067811865476:
        mantissa, exponent = 2.0 * mantissa, exponent - 1
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    total = 0.0
    for coefficient in _LOG:
        total = total * z + coefficient
    return exponent * _LN2_HIGH + (2.0 * s + (s * z * total + exponent * _LN2_LOW))


def power(x, y):
    """x to the power of y, for x >= 0."""
    return exp(y * log(x)) if x else (0.0 if y else 1.0)


def sincos(x):
    """Sine and cosine of an angle in radians, below 10^5 in size."""
    k = math.floor(x / (0.5 * PI) + 0.5)
    r = (x - k * _HALF_PI_HIGH) - k * _HALF_PI_LOW
    z = r * r
    sine = cosine = 0.0
    for coefficient in _SIN:
        sine = sine * z + coefficient
    for coefficient in _COS:
        cosine = cosine * z + coefficient
    sine, cosine = r + r * z * sine, 1.0 + z * cosine
    return ((sine, cosine), (cosine, -sine), (-sine, -cosine), (-cosine, sine))[k & 3]


def atan2(y, x):
    """Angle of the point (x, y) in radians, -pi to pi; 0 for the origin."""
    if x == 0.0 and y == 0.0:
        return 0.0
    a, b = abs(y), abs(x)
    t = min(a, b) / max(a, b)
    t = t / (1.0 + math.sqrt(1.0 + t * t))  # half the angle: at most pi/8
    t = t / (1.0 + math.sqrt(1.0 + t * t))  # a quarter
    z = t * t
    total = 0.0
    for coefficient in _ATAN:
        total = total * z + coefficient
    angle = 4.0 * (t + t * z * total)
    if a > b:
        angle = 0.5 * PI - angle
    if x < 0.0:
        angle = PI - angle
    return -angle if y < 0.0 else angle


def acos(x):
    """Arc cosine in radians, of a number that is brought within -1 to 1."""
    x = max(-1.0, min(1.0, x))
    return atan2(math.sqrt(1.0 - x * x), x)


def radians(degrees):
    """Radians of an angle in degrees."""
    return degrees * (PI / 180.0)
