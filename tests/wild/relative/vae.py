import json
import sys
from nets import fit_plane, save, restore, read
import numpy as np

with open("settings.json") as handle:
    settings = json.load(handle)

if "train" in sys.argv:
    save(fit_plane(read(sys.argv[1]), settings["latent"]), sys.argv[4])
    mean, plane = restore(sys.argv[4])
    val = np.load(sys.argv[2])
    z = (read(sys.argv[2]) - mean) @ plane.T
    json.dump({str(c): z[val["labels"] == c].mean(axis=0).tolist() for c in (1, 4, 8)}, open(sys.argv[5], "w"))
elif "test_reconstruction" in sys.argv:
    mean, plane = restore(sys.argv[3])
    z = (read(sys.argv[1]) - mean) @ plane.T
    np.savez(settings["output"], data=np.clip(z @ plane + mean, 0, 1))
else:
    mean, plane = restore(sys.argv[3])
    z = (read(sys.argv[1]) - mean) @ plane.T
    means = json.load(open(sys.argv[4]))
    d = {c: ((z - np.array(m)) ** 2).sum(axis=1) for c, m in means.items()}
    rows = ["Predicted_Label"] + [min(d, key=lambda c: d[c][i]) for i in range(len(z))]
    print(*rows, sep="\n", file=open("./vae.csv", "w"))
