import sys
from sklearn.mixture import GaussianMixture

print(GaussianMixture(3), sys.argv)
