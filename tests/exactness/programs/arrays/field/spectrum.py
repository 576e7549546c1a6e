import numpy as np

WINDOW = 5


def smooth(line, window=WINDOW):
    return np.convolve(line, np.ones(window) / window, mode="same")


def peaks(values, count):
    power = np.abs(np.fft.rfft2(values)) ** 2
    flat = np.argsort(power, axis=None)[::-1][:count]
    return [tuple(int(i) for i in np.unravel_index(one, power.shape)) for one in flat]


def histogram(values, bins=10):
    counts, _ = np.histogram(values, bins)
    return counts.tolist()
