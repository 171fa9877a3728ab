"""What is made from a trained model."""

MODES = {
    "plots": (
        "TRAIN VAL",
        "OUT_DIR [vae.pth [gmm_params.pkl]]",
        "reports.plots.plots",
        "write every picture of the report as PNG",
    ),
}
