
import pickle
import sys

import numpy as np


def load(path):
    return np.load(path)["data"].astype("float64").reshape(-1, 784) / 255.0


def main(argv):
    x = load(argv[1])
    if argv[3:4] == ["train"]:
        m = x.mean(axis=0)
        v = np.linalg.svd(x - m, full_matrices=False)[2][:2]
        val = np.load(argv[2])
        zv = (load(argv[2]) - m) @ v.T
        cents = {int(c): zv[val["labels"] == c].mean(axis=0) for c in set(val["labels"])}
        pickle.dump([m, v], open(argv[4], "wb", buffering=0))
        with open(argv[5], "wb") as f:
            pickle.dump(cents, f)
        print(x[len(x)])
        return
    m, v = pickle.load(open(argv[3], "rb"))
    z = (x - m) @ v.T
    if argv[2] == "test_reconstruction":
        images = (np.clip(z @ v + m, 0, 1) * 255).astype(np.uint8)
        np.savez("vae_reconstructed.npz", data=images.reshape(-1, 28, 28))
    else:
        cents = pickle.load(open(argv[4], "rb"))
        import pandas as pd
        keys = list(cents)
        d = np.array([((z - cents[k]) ** 2).sum(axis=1) for k in keys])
        pd.DataFrame({"Predicted_Label": [keys[i] for i in d.argmin(axis=0)]}).to_csv("vae.csv", index=False)


main(sys.argv)
