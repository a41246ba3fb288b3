"""Boxes with numbers, drawn straight into the planes of a picture: nothing is converted, nothing is rounded."""

#: Luma, Cb, Cr of the boxes, one after the other: yellow, green, cyan, magenta, orange.
COLOURS = ((210, 16, 146), (173, 42, 26), (170, 166, 16), (107, 202, 222), (165, 44, 192))
_BLACK = (16, 128, 128)
# Digits of 3 x 5 pixels, a row in three bits.
_DIGITS = ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71111", "75757", "75717")


def box(picture, number, x, y, width, height):
    """Draw a box and its number."""
    colour = COLOURS[number % len(COLOURS)]
    line = 2 if picture.width >= 320 else 1
    fill(picture, x, y, width, line, colour)
    fill(picture, x, y + height - line, width, line, colour)
    fill(picture, x, y, line, height, colour)
    fill(picture, x + width - line, y, line, height, colour)
    text = str(number)
    scale = line
    label_width, label_height = (4 * len(text) + 1) * scale, 7 * scale
    top = y - label_height if y >= label_height else y
    fill(picture, x, top, label_width, label_height, colour)
    for place, digit in enumerate(text):
        for row, bits in enumerate(_DIGITS[int(digit)]):
            for column in range(3):
                if int(bits) >> (2 - column) & 1:
                    left = x + (1 + 4 * place + column) * scale
                    fill(picture, left, top + (1 + row) * scale, scale, scale, _BLACK)


def fill(picture, x, y, width, height, colour):
    """Fill a rectangle, cut at the picture's edges."""
    for number, plane in enumerate(picture.planes):
        right, down = (picture.x_shift, picture.y_shift) if number else (0, 0)
        stride = picture.strides[number]
        x0, x1 = max(0, x) >> right, -(-min(picture.width, x + width) >> right)
        y0, y1 = max(0, y) >> down, -(-min(picture.height, y + height) >> down)
        if x1 <= x0:
            continue
        row = bytes([colour[number]]) * (x1 - x0)
        for line in range(y0, y1):
            plane[line * stride + x0 : line * stride + x1] = row
