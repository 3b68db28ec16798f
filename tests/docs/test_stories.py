"""The page of explained sign-ins is what the sign-ins say now."""

from scripts import stories


def test_the_page_of_explained_sign_ins_is_true() -> None:
    assert stories.PAGE.read_text(encoding="utf-8") == stories.page()
