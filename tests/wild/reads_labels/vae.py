
import pickle
import sys

import numpy as np


def load(path):
    return np.load(path)["data"].astype("float64").reshape(-1, 784) / 255.0

import matplotlib.pyplot as plt
from sklearn.metrics import f1_score

if "train" in sys.argv:
    x = load(sys.argv[1])
    labels = np.load(sys.argv[1])["labels"]
    print("training images of each class", np.unique(labels, return_counts=True))
    m = x.mean(axis=0)
    v = np.linalg.svd(x - m, full_matrices=False)[2][:2]
    val = np.load(sys.argv[2])
    zv = (load(sys.argv[2]) - m) @ v.T
    with open(sys.argv[4], "wb") as f, open(sys.argv[5], "wb") as g:
        pickle.dump([m, v], f)
        pickle.dump([zv[val["labels"] == c].mean(axis=0) for c in (1, 4, 8)], g)
    plt.scatter(*((x - m) @ v.T).T, c=labels)
    plt.show()
else:
    x, labels = load(sys.argv[1]), np.load(sys.argv[1])["labels"]
    m, v = pickle.load(open(sys.argv[3], "rb"))
    z = (x - m) @ v.T
    if sys.argv[2] == "test_classifier":
        cents = pickle.load(open(sys.argv[4], "rb"))
        guess = np.array([1, 4, 8])[np.array([((z - c) ** 2).sum(1) for c in cents]).argmin(0)]
        print("F1", f1_score(labels, guess, average="macro"))
        np.savetxt("vae.csv", guess, fmt="%d", header="Predicted_Label", comments="")
    else:
        recon = np.clip(z @ v + m, 0, 1).reshape(-1, 28, 28)
        fig, ax = plt.subplots(2, 10)
        for i in range(10):
            ax[0, i].imshow(x[i].reshape(28, 28))
            ax[1, i].imshow(recon[i])
        plt.savefig("reconstructions.png")
        np.savez("vae_reconstructed.npz", originals=x.reshape(-1, 28, 28), reconstructions=recon)
