import pickle
import sys

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

torch.manual_seed(0)
np.random.seed(0)


class Digits(Dataset):
    def __init__(self, path):
        archive = np.load(path)
        self.images = torch.tensor(archive["data"] / 255.0, dtype=torch.float32).view(-1, 784)
        self.labels = archive["labels"]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], int(self.labels[index])


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(784, 64)
        self.mu = nn.Linear(64, 2)
        self.logvar = nn.Linear(64, 2)
        self.decoder = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 784), nn.Sigmoid())

    def encode(self, x):
        h = torch.relu(self.hidden(x))
        return self.mu(h), self.logvar(h)

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = mu + torch.randn_like(mu) * torch.exp(logvar / 2)
        return self.decoder(z), mu, logvar


def latents(model, dataset):
    model.eval()
    with torch.no_grad():
        return model.encode(dataset.images)[0].numpy()


def density(z, mean, cov):
    d = z - mean
    power = -0.5 * np.sum(d @ np.linalg.inv(cov) * d, axis=1)
    return np.exp(power) / (2 * np.pi * np.sqrt(np.linalg.det(cov)))


def train(train_path, val_path, model_path, gmm_path):
    data, val = Digits(train_path), Digits(val_path)
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(3):
        for x, _ in DataLoader(data, batch_size=64, shuffle=True):
            recon, mu, logvar = model(x)
            bce = nn.functional.binary_cross_entropy(recon, x, reduction="sum")
            kl = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())
            optimizer.zero_grad()
            (bce + kl).backward()
            optimizer.step()
        print("epoch", epoch, float(bce + kl) / len(x))
    torch.save(model.state_dict(), model_path)

    z, known = latents(model, data), latents(model, val)
    classes = np.unique(val.labels)
    means = np.array([known[val.labels == c].mean(axis=0) for c in classes])
    covs, weights = np.array([np.cov(z.T)] * 3), np.ones(3) / 3
    for _ in range(30):
        resp = np.array([w * density(z, m, c) for w, m, c in zip(weights, means, covs)]).T
        resp /= resp.sum(axis=1, keepdims=True) + 1e-12
        total = resp.sum(axis=0)
        weights, means = total / len(z), resp.T @ z / total[:, None]
        covs = [np.cov(z.T, aweights=r) + 1e-6 * np.eye(2) for r in resp.T]
    with open(gmm_path, "wb") as f:
        pickle.dump({"weights": weights, "means": means, "covs": covs, "classes": classes}, f)


def main():
    if sys.argv[3:] and sys.argv[3] == "train":
        train(sys.argv[1], sys.argv[2], sys.argv[4], sys.argv[5])
        return
    data = Digits(sys.argv[1])
    model = VAE()
    model.load_state_dict(torch.load(sys.argv[3]))
    z = latents(model, data)
    if sys.argv[2] == "test_reconstruction":
        with torch.no_grad():
            recon = model.decoder(torch.tensor(z)).numpy().reshape(-1, 28, 28)
        np.savez("vae_reconstructed.npz", data=recon)
    else:
        with open(sys.argv[4], "rb") as f:
            g = pickle.load(f)
        d = [w * density(z, m, c) for w, m, c in zip(g["weights"], g["means"], g["covs"])]
        labels = g["classes"][np.argmax(d, axis=0)]
        pd.DataFrame({"Predicted_Label": labels}).to_csv("vae.csv", index=False)


if __name__ == "__main__":
    main()
