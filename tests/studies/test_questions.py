import importlib

# Written by hand from the assignments' texts: every question that they put.
ASKED = {
    "beta_vae": ("Q1.1", "Q1.2", "Q1.3", "Q1.4"),
    "cvae": ("Q2.1", "Q2.2", "Q2.3"),
    "pokemon": ("Bonus.1", "Bonus.2"),
    "segment": ("Q3.1", "Q3.2", "Q4.1", "Q4.2", "Q4.3"),
}


def test_every_question_is_answered_by_its_study() -> None:
    for study, questions in ASKED.items():
        assert questions == importlib.import_module(f"studies.{study}").QUESTIONS
