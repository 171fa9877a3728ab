import numpy as np


def read(path):
    return np.load(path)["data"].reshape(-1, 28 * 28) / 255.0


def fit_plane(x, latent):
    mean = x.mean(axis=0)
    return mean, np.linalg.svd(x - mean, full_matrices=False)[2][:latent]


def save(parts, path):
    with open(path, "wb") as handle:
        np.savez(handle, mean=parts[0], plane=parts[1])


def restore(path):
    saved = np.load(path)
    return saved["mean"], saved["plane"]
