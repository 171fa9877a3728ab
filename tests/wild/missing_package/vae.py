import torchsummary
print(torchsummary.summary)
