"""Runs portolan from Airflow: PortolanOperator, and the trigger that it defers to."""


def get_provider_info() -> dict:
    """Returns what Airflow shows of the package."""
    return {
        "package-name": "airflow-provider-portolan",
        "name": "portolan",
        "description": "Transfers over FTP and FTPS, and jobs of a portolan scheduler.",
        "versions": ["0.1.0"],
    }
