"""The modes that make plots, a page and a report from a trained model, or a course's notebook."""

MODES = {
    "plots": (
        "TRAIN VAL",
        "OUT_DIR [vae.pth [gmm_params.pkl]]",
        "reports.plots.plots",
        "write every picture of the report as PNG",
    ),
    "explore": (
        "TEST VAL",
        "OUT.html [vae.pth [gmm_params.pkl]]",
        "reports.explorer.explore",
        "write an interactive page of the latent plane",
    ),
    "notebook": (
        "DATA",
        "OUT_DIR --course COURSE --id1 ID --id2 ID",
        "reports.notebook.notebook",
        "write a course's executed notebook: wet2, celeba, 5lsl0, hw5",
    ),
    "report": (
        "TRAIN VAL",
        "OUT.pdf [vae.pth [gmm_params.pkl]] --name NAME --entry NUMBER",
        "reports.report.report",
        "write the report as a PDF",
    ),
}
