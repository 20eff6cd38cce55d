# Two stages on one base: the first has pip and the build tools, the second only what runs.
#
#   docker build -t bearer-proxy .
#   docker run --read-only -p 127.0.0.1:8080:8080 -e BEARER_PROXY_TOKEN_CLIENT_ID=… bearer-proxy
#
# Publish on the loopback as above: whoever reaches the port uses your credentials.
# Packages come from where pip is configured to look. A pip.conf of your own reaches the build, and
# no layer, with --secret id=pip,src=/etc/pip.conf. Without Docker: deploy/build-image.sh.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

# The dependencies, with what token.cache_file needs, are a layer of their own: they change with the
# lock files and not with the code.
COPY requirements/cache.txt requirements/build.txt requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /tools \
    && python3 -m venv --without-pip /opt/bearer-proxy \
    && /tools/bin/pip install --no-compile --require-hashes -r requirements/build.txt \
    && /tools/bin/pip --python /opt/bearer-proxy/bin/python install --no-compile \
        --require-hashes -r requirements/cache.txt

COPY pyproject.toml README.md ./
COPY proxy proxy
# Nothing is fetched any more: --no-index makes a forgotten dependency fail here.
RUN /tools/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /dist . \
    && /tools/bin/pip --python /opt/bearer-proxy/bin/python install --no-compile \
        --no-index --no-deps /dist/*.whl \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/bearer-proxy/lib


FROM ${BASE}
# Some bases ship the standard library uncompiled, which a read-only root would pay at every start.
RUN python3 -c "import sysconfig; print(sysconfig.get_path('stdlib'))" \
    | xargs python3 -m compileall -q \
        -x '/(site-packages|dist-packages|test|idlelib|lib2to3|tkinter|turtledemo|ensurepip)/'
COPY --from=build /opt/bearer-proxy /opt/bearer-proxy

# In a container the loopback is the container's own: the port can only be published from a wider
# bind. Admin keeps its loopback default, where the health check below finds it.
ENV PATH=/opt/bearer-proxy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    BEARER_PROXY_LISTEN_ADDRESS=0.0.0.0:8080

EXPOSE 8080
# By number, so that Kubernetes' runAsNonRoot can tell; the user that distroless images call nonroot.
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["bearer-proxy", "health"]
ENTRYPOINT ["bearer-proxy"]
CMD ["run"]
