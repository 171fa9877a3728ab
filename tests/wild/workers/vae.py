import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class ConvVAE(nn.Module):
    def __init__(self, latent_dim=2):
        super(ConvVAE, self).__init__()
        self.conv = nn.Conv2d(1, 8, 4, stride=2, padding=1)
        self.fc = nn.Linear(8 * 14 * 14, 2 * latent_dim)
        self.up = nn.Linear(latent_dim, 8 * 14 * 14)
        self.deconv = nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1)

    def encode(self, x):
        return self.fc(F.relu(self.conv(x)).flatten(1)).chunk(2, dim=1)

    def decode(self, z):
        return torch.sigmoid(self.deconv(F.relu(self.up(z)).view(-1, 8, 14, 14)))

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(mu + torch.randn_like(mu) * (0.5 * logvar).exp()), mu, logvar


def loader(path, shuffle):
    images = torch.from_numpy(np.load(path)["data"]).float().unsqueeze(1) / 255
    return DataLoader(TensorDataset(images), batch_size=32, shuffle=shuffle, num_workers=2)


def embed(model, path):
    model.eval()
    with torch.no_grad():
        return torch.cat([model.encode(x.to(device))[0] for (x,) in loader(path, False)]).cpu().numpy()


if __name__ == "__main__":
    torch.manual_seed(0)
    if len(sys.argv) == 6:
        model = ConvVAE().to(device)
        opt = torch.optim.Adam(model.parameters(), 1e-2)
        for epoch in range(5):
            for (x,) in loader(sys.argv[1], True):
                recon, mu, logvar = model(x.to(device))
                loss = F.mse_loss(recon, x, reduction="sum") - 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum()
                opt.zero_grad()
                loss.backward()
                opt.step()
        torch.save(model, sys.argv[4])
        z, y = embed(model, sys.argv[2]), np.load(sys.argv[2])["labels"]
        torch.save({int(c): z[y == c].mean(0).tolist() for c in np.unique(y)}, sys.argv[5])
    else:
        model = torch.load(sys.argv[3], weights_only=False)
        z = embed(model, sys.argv[1])
        if sys.argv[2] == "test_reconstruction":
            with torch.no_grad():
                out = model.decode(torch.tensor(z)).squeeze().numpy()
            np.savez("vae_reconstructed.npz", data=out)
        else:
            means = torch.load(sys.argv[4])
            keys = list(means)
            best = np.argmin([((z - np.array(means[k])) ** 2).sum(1) for k in keys], axis=0)
            with open("vae.csv", "w") as f:
                f.write("Predicted_Label\n")
                f.writelines(f"{keys[i]}\n" for i in best)
