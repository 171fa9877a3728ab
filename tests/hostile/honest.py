"""The honest part of every hostile submission: a principal plane and the nearest class mean."""

import csv
import pickle
import sys
from pathlib import Path

import numpy as np


def images(path):
    return np.load(path)["data"].reshape(-1, 784) / 255


def train(train_path, val_path, model_path, gmm_path):
    x, val = images(train_path), images(val_path)
    mean = x.mean(axis=0)
    axes = np.linalg.svd(x - mean, full_matrices=False)[2][:2]
    with Path(model_path).open("wb") as file:
        np.savez(file, mean=mean, axes=axes)
    labels = np.load(val_path)["labels"]
    z = (val - mean) @ axes.T
    means = {int(c): z[labels == c].mean(axis=0).tolist() for c in np.unique(labels)}
    Path(gmm_path).write_bytes(pickle.dumps(means))


def reconstruct(test_path, model_path):
    x, model = images(test_path), np.load(model_path)
    z = (x - model["mean"]) @ model["axes"].T
    recon = np.clip(z @ model["axes"] + model["mean"], 0, 1)
    np.savez("vae_reconstructed.npz", data=recon.reshape(-1, 28, 28))


def classify(test_path, model_path, gmm_path):
    x, model = images(test_path), np.load(model_path)
    means = pickle.loads(Path(gmm_path).read_bytes())
    z = (x - model["mean"]) @ model["axes"].T
    distances = [np.square(z - mean).sum(axis=1) for mean in means.values()]
    write_labels(np.array(list(means))[np.argmin(distances, axis=0)])


def write_labels(labels):
    with Path("vae.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["Predicted_Label"], *([label] for label in labels)])


def main():
    words = sys.argv[1:]
    if "train" in words:
        train(words[0], words[1], *words[3:])
    elif "test_reconstruction" in words:
        reconstruct(words[0], words[2])
    else:
        classify(words[0], *words[2:])
