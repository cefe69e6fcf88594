# The embedded service for other containers and machines; see docs/local.md, "In a container, for other machines".
FROM python:3.12-slim

RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin rekolabels \
    && install --directory --owner rekolabels --mode 0700 /workspace

COPY . /source
RUN PIP_CONSTRAINT=/source/requirements/dev.txt PIP_BUILD_CONSTRAINT=/source/requirements/dev.txt \
    pip install --no-cache-dir --disable-pip-version-check '/source[local]' \
    && rm -rf /source

USER 10001
WORKDIR /workspace
VOLUME /workspace
EXPOSE 4900

# -P: nothing is imported from the workspace, which is the current folder.
ENTRYPOINT ["python", "-P", "-m", "rekolabels", "serve", "--port", "4900", "--workspace", "/workspace", \
    "--host", "0.0.0.0", "--token-file", "/run/secrets/token", "--allow-host", "rekolabels"]
