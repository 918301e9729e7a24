# syntax=docker/dockerfile:1
# CPU image. Build: docker build -t litesmith .   Run: docker run -p 8501:8501 -v litesmith:/data litesmith
# With the Edge TPU compiler (x86-64, from Coral's repository): docker build --build-arg EDGETPU=yes -t litesmith .
ARG EDGETPU=no

FROM python:3.11-slim-bookworm AS environment
COPY requirements-cpu.txt /tmp/
RUN python -m venv /opt/venv \
    # --no-deps: tf_keras names `tensorflow`, which the CPU build replaces.
    && /opt/venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements-cpu.txt \
    && find /opt/venv -name __pycache__ -prune -exec rm -rf {} +

FROM debian:bookworm-slim AS edgetpu-no
RUN mkdir -p /compiler/usr/bin

FROM debian:bookworm-slim AS edgetpu-yes
ADD https://packages.cloud.google.com/apt/doc/apt-key.gpg /tmp/key.asc
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates gpg \
    && gpg --dearmor -o /usr/share/keyrings/coral.gpg /tmp/key.asc \
    && echo "deb [signed-by=/usr/share/keyrings/coral.gpg] https://packages.cloud.google.com/apt coral-edgetpu-stable main" \
        > /etc/apt/sources.list.d/coral.list \
    && apt-get update && cd /tmp && apt-get download edgetpu-compiler && dpkg-deb -x edgetpu-compiler*.deb /compiler

FROM edgetpu-${EDGETPU} AS edgetpu

FROM python:3.11-slim-bookworm AS studio
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 litesmith && mkdir /data && chown litesmith /data
COPY --from=environment /opt/venv /opt/venv
COPY --from=edgetpu /compiler/usr/ /usr/
WORKDIR /litesmith
COPY --chown=litesmith . .
# The Makefile's verbs find their environment ready; what must be newer than the lock files is touched last.
RUN rm -rf .venv && ln -s /opt/venv .venv && touch /opt/venv/product && mkdir -p build && chown litesmith build
ENV PATH=/opt/venv/bin:$PATH LITESMITH_HOME=/data PYTHONDONTWRITEBYTECODE=1 \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 STREAMLIT_SERVER_HEADLESS=true
USER litesmith
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"
CMD ["make", "app"]
