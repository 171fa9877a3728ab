import pickle, sys
import numpy as np

class GaussianMixtureModel(object):
    def __init__(self, mus):
        self.mus = mus
        self.names = [1, 4, 8]
    def predict(self, z):
        d = np.stack([((z - mu) ** 2).sum(axis=1) for mu in self.mus], axis=1)
        return [self.names[i] for i in d.argmin(axis=1)]

args = sys.argv
mode = "train" if "train" in args else ("rec" if "test_reconstruction" in args else "cls")
data = np.load(args[1])["data"]
x = data.reshape(data.shape[0], 784) / 255
if mode == "train":
    u, s, v = np.linalg.svd(x - x.mean(0), full_matrices=False)
    pickle.dump((x.mean(0), v[:2]), open(args[4], "wb"))
    val = np.load(args[2])
    zv = (val["data"].reshape(-1, 784) / 255 - x.mean(0)) @ v[:2].T
    gmm = GaussianMixtureModel([zv[val["labels"] == c].mean(axis=0) for c in (1, 4, 8)])
    pickle.dump(gmm, open(args[5], "wb"))
else:
    mean, v = pickle.load(open(args[3], "rb"))
    z = (x - mean) @ v.T
    if mode == "rec":
        np.savez_compressed("vae_reconstructed.npz", data=np.clip(z @ v + mean, 0, 1).reshape(-1, 28, 28).astype(np.float32))
    else:
        gmm = pickle.load(open(args[4], "rb"))
        f = open("vae.csv", "w")
        f.write("Predicted_Label\n")
        for p in gmm.predict(z):
            f.write("%d\n" % p)
        f.close()
