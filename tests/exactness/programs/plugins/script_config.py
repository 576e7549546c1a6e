SCALE = globals().get("SCALE", 1)
SIZES = [SCALE * n for n in (1, 2, 3)]
total = sum(SIZES)
TOTAL = f"{total:>5}"
