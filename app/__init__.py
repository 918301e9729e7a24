"""The studio: Streamlit pages and charts. No ML logic, no TensorFlow, no knowledge of file formats."""
