"""What is made from a trained model."""

MODES = {
    "plots": (
        "TRAIN VAL",
        "OUT_DIR [vae.pth [gmm_params.pkl]]",
        "reports.plots.plots",
        "write every picture of the report as PNG",
    ),
    "report": (
        "TRAIN VAL",
        "OUT.pdf [vae.pth [gmm_params.pkl]] --name NAME --entry NUMBER",
        "reports.report.report",
        "write the report",
    ),
}
