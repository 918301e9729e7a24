"""The studio's frame: pages, navigation, guard. Start with `python -m streamlit run app/main.py`."""

from __future__ import annotations

import gc
from pathlib import Path

import streamlit as st

from app.guard import guarded


@st.cache_resource(show_spinner=False)
def settle(title: str) -> None:
    """Takes what a page's first run imported and counted out of every later search for garbage, once per server.

    Such a search then walks what sessions hold, not every module: 130 ms less on whichever rerun it falls.
    """
    gc.collect()
    gc.freeze()


st.set_page_config(page_title="Litesmith", page_icon=":material/hardware:", layout="wide")
st.logo(Path(__file__).parent / "mark.svg", size="large")

# The pages lie in screens/ because Streamlit (1.67) takes a folder called pages/ for its older kind of app: whoever
# opens a fresh server at any address but "/" would then get that page without this frame.
page = st.navigation(
    {
        "": [st.Page("screens/start.py", title="Start", icon=":material/rocket_launch:", default=True)],
        "Make": [
            st.Page("screens/explore.py", title="Explore", icon=":material/bubble_chart:", url_path="explore"),
            st.Page("screens/design.py", title="Design", icon=":material/architecture:", url_path="design"),
            st.Page("screens/build.py", title="Build", icon=":material/construction:", url_path="build"),
            st.Page("screens/runs.py", title="Runs", icon=":material/list_alt:", url_path="runs"),
        ],
        "Prove": [
            st.Page("screens/compare.py", title="Compare", icon=":material/scatter_plot:", url_path="compare"),
            st.Page("screens/try_it.py", title="Try", icon=":material/photo_camera:", url_path="try"),
            st.Page("screens/export.py", title="Export", icon=":material/inventory_2:", url_path="export"),
        ],
    },
    expanded=True,
)
st.html(
    """<style>
    .stMainBlockContainer { max-width: 76rem; padding: 2.4rem 2.6rem 4rem; }
    [data-testid="stMetricValue"] { font-variant-numeric: tabular-nums; }
    @media (max-width: 640px) {
      .stMainBlockContainer { padding-left: 1rem; padding-right: 1rem; }
      h1 { font-size: 1.6rem !important; }
    }
    </style>"""
)
with guarded(page.title):
    page.run()
settle(page.title)
